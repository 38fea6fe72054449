"""The grid on a terminal: what a cell says when it ends, and a bar for each that trains."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flows.grid.cells import Outcome
from flows.grid.queue import GridState, counts
from stages.runtime.places import LOGS
from stages.tracking.status import file_name, read_status

SECONDS_BETWEEN_LINES = 30.0
MOST_LINES = 20  # of what a stage has printed


@dataclass(frozen=True, kw_only=True)
class CellProgress:
    """How far a training run is: `done` of `total` iterations, its loss, iterations a second."""

    done: int
    total: int
    loss: float
    rate: float

    def __str__(self) -> str:
        left = (self.total - self.done) / self.rate if self.rate > 0 else 0.0
        return (
            f"{self.done} of {self.total}, loss {self.loss:.3f}, {self.rate:.1f} a second, "
            f"{left / 60:.1f} min left"
        )


def read_progress(status: Mapping[str, Any]) -> CellProgress | None:
    """Return the progress that a stage's status holds; None if it tells of none."""
    try:
        return CellProgress(
            done=int(status["done"]),
            total=int(status["total"]),
            loss=float(status["loss"]),
            rate=float(status["rate"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def describe(outcome: Outcome) -> str:
    """Return a line on how a cell went, and what its stage said."""
    attempts = f", {outcome.attempts} attempts" if outcome.attempts > 1 else ""
    why = f": {outcome.reason}" if outcome.reason else ""
    said = list(outcome.told[-MOST_LINES:])
    if before := len(outcome.told) - len(said):
        said.insert(0, f"{before} lines before: {LOGS / file_name(outcome.cell)}.log")
    how = f"{outcome.cell}: {outcome.state} in {outcome.seconds:.1f} s{attempts}{why}"
    return "\n".join([how, *(f"    {line}" for line in said)])


class TerminalProgress:
    """Shows every state it is called with on standard error; bars only on a terminal."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._started: set[str] = set()
        self._ended = 0
        self._bars: dict[str, tqdm[Any]] = {}
        self._told = time.monotonic()
        self._has_bars = sys.stderr.isatty()

    def __call__(self, state: GridState) -> None:
        for cell in state.running:
            if cell not in self._started:
                self._started.add(cell)
                self._say(f"{cell}: started")
        total = len(state.running) + len(state.outcomes) + state.waiting
        for outcome in state.outcomes[self._ended :]:
            if outcome.cell in self._bars:
                self._bars.pop(outcome.cell).close()
            self._ended += 1
            self._say(f"[{self._ended} of {total}] {describe(outcome)}")
        late = time.monotonic() - self._told > SECONDS_BETWEEN_LINES
        if self._has_bars or late:
            self._told = time.monotonic()
            for cell in state.running:
                self._show(cell)
        if not state.running:
            self._say(summary(state))

    def _show(self, cell: str) -> None:
        progress = read_progress(read_status(self._workspace, cell))
        if progress is None:
            return
        if not self._has_bars:
            self._say(f"{cell}: {progress}")
            return
        if cell not in self._bars:
            self._bars[cell] = tqdm(
                total=progress.total, initial=progress.done, desc=cell, unit="it", leave=False
            )
        bar = self._bars[cell]
        bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
        bar.update(progress.done - bar.n)

    def _say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


def summary(state: GridState) -> str:
    """Return how many cells ended in which way."""
    told = ", ".join(f"{number} {how}" for how, number in counts(state.outcomes).items())
    return f"cells: {told or 'everything is up to date'}"
