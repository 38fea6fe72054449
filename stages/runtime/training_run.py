"""A training that can be killed: runs a solver's iterations, logs them, saves and resumes."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import nn

from stages.runtime import command
from stages.runtime.machine import Machine
from stages.runtime.places import PROGRESS
from stages.tracking import runs as tracking
from stages.tracking import status
from tsn.model.checkpoint import load_progress, save_progress
from tsn.training.solver import Iteration, momentum_state, restore_momentum

LOG_COLUMNS = tuple(field.name for field in fields(Iteration))
METRICS = {  # column of the log -> metric in MLflow
    "loss": "train/loss",
    "accuracy": "train/accuracy",
    "lr": "train/lr",
    "gradient_norm": "train/gradient_norm",
}
STATUS_SECONDS = 1.0


@dataclass
class Training:
    """A network and its optimizer on their way through `iterations`.

    cell: what is trained, as a file name: `synthetic-1-flow`.
    fingerprint: of everything the training is made of; a saved state of another one is not taken.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    cell: str
    fingerprint: str
    iterations: int
    machine: Machine

    @property
    def path(self) -> Path:
        return PROGRESS / self.cell / f"{self.fingerprint}.safetensors"

    def resume(self) -> list[dict[str, float]]:
        """Puts an interrupted state back and returns its log, one row per finished iteration."""
        found = load_progress(self.path, self.fingerprint)
        if found is None:
            return []
        self.network.load_state_dict(found.network)
        restore_momentum(self.optimizer, self.network, found.momentum)
        return found.log

    def save(self, log: list[dict[str, float]]) -> None:
        """Keeps the state after `len(log)` iterations."""
        save_progress(
            self.path,
            self.network,
            momentum_state(self.optimizer, self.network),
            fingerprint=self.fingerprint,
            log=log,
        )

    def forget(self) -> None:
        """Drops what is saved of this cell, by any training: the outcome is on disk."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def complete(
    training: Training,
    iterations: Callable[[int], Iterator[Iteration]],
    run: tracking.Run,
    *,
    text: str,
) -> list[dict[str, float]]:
    """Runs what is left of the iterations and returns the whole log."""
    log = training.resume()
    if log:
        run.log_series(curves(log))  # what a kill kept from being written
        print(f"{text}: going on after iteration {len(log)} of {training.iterations}")
    began = saved = told = time.monotonic()
    resumed_at = len(log)
    steps = command.progress(
        iterations(len(log)), total=training.iterations, initial=len(log), unit="it", text=text
    )
    for step in steps:
        log.append(asdict(step))
        row = log[-1]
        run.log_metrics({METRICS[name]: row[name] for name in METRICS}, step=step.iteration)
        if time.monotonic() - saved > training.machine.checkpoint_seconds:
            training.save(log)
            saved = time.monotonic()
        if time.monotonic() - told > STATUS_SECONDS:
            told = time.monotonic()
            rate = (len(log) - resumed_at) / (told - began)
            status.report(done=len(log), total=training.iterations, loss=row["loss"], rate=rate)
    training.save(log)  # until the stage has ended well, it can still be refused
    tail = log[-10:]
    loss = sum(row["loss"] for row in tail) / len(tail)
    accuracy = sum(row["accuracy"] for row in tail) / len(tail)
    print(f"{text}: {len(log)} iterations, loss {loss:.3f}, accuracy {accuracy:.1%} at the end")
    return log


def accompany(training: Training, iterations: Callable[[int], Iterator[Iteration]]) -> None:
    """The part in `complete` of a training's other processes: they compute, and leave no trace."""
    for _ in iterations(len(training.resume())):
        pass


def curves(log: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """A log's rows as (iteration, value) points of MLflow's metrics."""
    return {
        metric: [(int(row["iteration"]), row[column]) for row in log]
        for column, metric in METRICS.items()
    }
