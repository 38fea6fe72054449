"""A training that can be killed: runs its iterations, logs them, saves and resumes."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command
from stages.runtime.machine import Machine
from stages.runtime.places import PROGRESS
from stages.tracking import status
from stages.tracking.open_run import Run
from tsn.training.progress import resume, save_progress
from tsn.training.solver import Iteration, Step, Training

METRICS = {  # column of the log -> metric in MLflow
    "loss": "train/loss",
    "accuracy": "train/accuracy",
    "lr": "train/lr",
    "gradient_norm": "train/gradient_norm",
}
WAITING = "time/waiting_for_data"  # the share of the time in which a step had no inputs
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


class Telling:
    """Keeps the log of a training that runs, and tells of it: to MLflow and in the status file."""

    def __init__(self, run: Run, log: list[Iteration], total: int) -> None:
        self.log = log
        self._run = run
        self._total = total
        self._resumed_at = len(log)
        self._began = self._told_at = time.monotonic()
        self._waited = 0.0

    def keep(self, step: Step) -> None:
        """Wait for a step, and add it to the log."""
        row = step.read()
        self.log.append(row)
        self._waited += step.waited
        values = {metric: getattr(row, column) for column, metric in METRICS.items()}
        self._run.log_metrics(values, step=row.iteration)
        now = time.monotonic()
        if (passed := now - self._told_at) > STATUS_SECONDS:
            rate = (len(self.log) - self._resumed_at) / (now - self._began)
            status.report(done=len(self.log), total=self._total, loss=row.loss, rate=rate)
            share = min(self._waited / passed, 1.0)
            self._run.log_metrics({WAITING: share}, step=row.iteration)
            self._told_at, self._waited = now, 0.0

    def last(self) -> dict[str, str]:
        """Return what a progress bar shows of the last iteration."""
        if not self.log:
            return {}
        return {"loss": f"{self.log[-1].loss:.3f}", "lr": f"{self.log[-1].lr:g}"}


def complete(
    training: Training, saved: SavedTraining, machine: Machine, run: Run, *, text: str
) -> list[Iteration]:
    """Run what is left of the iterations and return the whole log."""
    log = resume(saved.path, training, saved.fingerprint)
    if log:
        run.log_series(curves(log))  # what a kill kept from being written
        print(f"{text}: going on after iteration {len(log)} of {training.solver.iterations}")
    total, resumed_at, saved_at = training.solver.iterations, len(log), time.monotonic()
    telling = Telling(run, log, total)
    unread: list[Step] = []
    steps = command.progress(
        training.launch(resumed_at),
        total=total,
        initial=resumed_at,
        unit="it",
        text=text,
        beside=telling.last,
    )
    for step in steps:
        unread.append(step)
        due = time.monotonic() - saved_at > machine.checkpoint_seconds
        while len(unread) > (0 if due else training.steps_ahead):
            telling.keep(unread.pop(0))
        if due:
            save_progress(saved.path, training, saved.fingerprint, log)
            saved_at = time.monotonic()
    for step in unread:
        telling.keep(step)
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
