"""A training that can be killed: runs its iterations, logs them, saves and resumes."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command
from stages.runtime.machine import Machine
from stages.runtime.places import PROGRESS
from stages.tracking import runs, status
from tsn.training.progress import resume, save_progress
from tsn.training.solver import Iteration, Training

METRICS = {  # column of the log -> metric in MLflow
    "loss": "train/loss",
    "accuracy": "train/accuracy",
    "lr": "train/lr",
    "gradient_norm": "train/gradient_norm",
}
STATUS_SECONDS = 1.0


@dataclass(frozen=True)
class SavedTraining:
    """Where a training is saved until its outcome is on disk.

    name: what is trained, as a file name: `synthetic-1-flow`.
    fingerprint: of everything the training is made of; a saved state of another one is not taken.
    """

    name: str
    fingerprint: str

    @property
    def path(self) -> Path:
        """Return the file."""
        return PROGRESS / self.name / f"{self.fingerprint}.safetensors"

    def forget(self) -> None:
        """Drop what is saved under that name, by any training."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def complete(
    training: Training, saved: SavedTraining, machine: Machine, run: runs.Run, *, text: str
) -> list[Iteration]:
    """Run what is left of the iterations and return the whole log."""
    log = resume(saved.path, training, saved.fingerprint)
    if log:
        run.log_series(curves(log))  # what a kill kept from being written
        print(f"{text}: going on after iteration {len(log)} of {training.solver.iterations}")
    began = saved_at = told_at = time.monotonic()
    total, resumed_at = training.solver.iterations, len(log)
    steps = command.progress(
        training.iterate(resumed_at), total=total, initial=resumed_at, unit="it", text=text
    )
    for step in steps:
        log.append(step)
        values = {metric: getattr(step, column) for column, metric in METRICS.items()}
        run.log_metrics(values, step=step.iteration)
        if time.monotonic() - saved_at > machine.checkpoint_seconds:
            save_progress(saved.path, training, saved.fingerprint, log)
            saved_at = time.monotonic()
        if time.monotonic() - told_at > STATUS_SECONDS:
            told_at = time.monotonic()
            rate = (len(log) - resumed_at) / (told_at - began)
            status.report(done=len(log), total=total, loss=step.loss, rate=rate)
    save_progress(saved.path, training, saved.fingerprint, log)  # the stage can still be refused
    if not log:
        print(f"{text}: no iterations, the network is what it starts as")
        return log
    tail = log[-10:]
    loss = sum(row.loss for row in tail) / len(tail)
    accuracy = sum(row.accuracy for row in tail) / len(tail)
    print(f"{text}: {len(log)} iterations, loss {loss:.3f}, accuracy {accuracy:.1%} at the end")
    return log


def accompany(training: Training, saved: SavedTraining) -> None:
    """Do the part in `complete` of a training's other processes: compute, and leave no trace."""
    for _ in training.iterate(len(resume(saved.path, training, saved.fingerprint))):
        pass


def curves(log: Sequence[Iteration]) -> dict[str, list[tuple[int, float]]]:
    """Return a log as (iteration, value) points of MLflow's metrics."""
    return {
        metric: [(row.iteration, getattr(row, column)) for row in log]
        for column, metric in METRICS.items()
    }
