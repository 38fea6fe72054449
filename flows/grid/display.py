"""The grid on a terminal: what a cell says when it ends, a bar for each that trains, and one for
all cells, with the time that is left."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flows.grid.cells import CellState, Outcome
from flows.grid.queue import GridState, counts
from flows.grid.time_left import Running, expected_seconds, seconds_left
from stages.operate.cost import spoken
from stages.runtime.places import LOGS
from stages.runtime.terminal import styled
from stages.tracking.status import file_name, read_status

SECONDS_BETWEEN_LINES = 30.0
MOST_LINES = 20  # of what a stage has printed
STYLES = {CellState.RAN: "green", CellState.FAILED: "red", CellState.SKIPPED: "yellow"}
OVERALL = "{desc} |{bar}| {n_fmt} of {total_fmt}{postfix}"


@dataclass(frozen=True, kw_only=True)
class CellProgress:
    """How far a training run is: `done` of `total` iterations, its loss, iterations a second."""

    done: int
    total: int
    loss: float
    rate: float

    @property
    def left(self) -> float:
        """Return the seconds that are left; 0 where the rate is not known."""
        return (self.total - self.done) / self.rate if self.rate > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{self.done} of {self.total}, loss {self.loss:.3f}, {self.rate:.1f} a second, "
            f"{self.left / 60:.1f} min left"
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
    state = styled(outcome.state, STYLES.get(outcome.state, "faint"), sys.stderr)
    name = styled(outcome.cell, "bold", sys.stderr)
    how = f"{name}: {state} in {outcome.seconds:.1f} s{attempts}{why}"
    return "\n".join([how, *(f"    {line}" for line in said)])


class TerminalProgress:
    """Shows every state it is called with on standard error; bars only on a terminal."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._began: dict[str, float] = {}  # when each cell was first seen
        self._ended = 0
        self._bars: dict[str, tqdm[Any]] = {}
        self._overall: tqdm[Any] | None = None
        self._expected: dict[str, float] | None = None
        self._told = time.monotonic()
        self._has_bars = sys.stderr.isatty()

    def __call__(self, state: GridState) -> None:
        for cell in state.running:
            if cell not in self._began:
                self._began[cell] = time.monotonic()
                self._say(f"{cell}: started")
        self._tell_ended(state)
        late = time.monotonic() - self._told > SECONDS_BETWEEN_LINES
        if self._has_bars or late:
            self._told = time.monotonic()
            for cell in state.running:
                self._show(cell)
        if self._has_bars:
            self._show_overall(state)
        if not state.running:
            self._say(summary(state))

    def _tell_ended(self, state: GridState) -> None:
        new = state.outcomes[self._ended :]
        if new and self._expected is None:  # only a split dataset says what its cells cost
            cells = (*(outcome.cell for outcome in state.outcomes), *state.running, *state.queued)
            self._expected = expected_seconds(self._workspace, cells)
        for outcome in new:
            if outcome.cell in self._bars:
                self._bars.pop(outcome.cell).close()
            self._ended += 1
            left = self._left(state) if outcome is new[-1] else ""
            self._say(f"[{self._ended} of {state.total}{left}] {describe(outcome)}")

    def _left(self, state: GridState) -> str:
        """Return the time that is left, in words; "" while there is no basis to say."""
        if self._expected is None or not state.running:
            return ""
        now = time.monotonic()
        progress = {
            cell: read_progress(read_status(self._workspace, cell)) for cell in state.running
        }
        running = [
            Running(cell=cell, seconds=now - self._began[cell], left=row.left if row else None)
            for cell, row in progress.items()
        ]
        elapsed = now - min(self._began.values())
        left = seconds_left(self._expected, state.outcomes, running, state.queued, elapsed)
        if left is None:
            return ""
        return f", about {spoken(left)} left" if left >= 60 else ", less than a minute left"

    def _show_overall(self, state: GridState) -> None:
        """Keep a bar of all cells below the others, until they have ended."""
        if self._overall is None:
            self._overall = tqdm(
                total=state.total, desc="cells", bar_format=OVERALL, leave=False, dynamic_ncols=True
            )
        self._overall.total, self._overall.n = state.total, len(state.outcomes)
        self._overall.set_postfix_str(self._left(state).removeprefix(", "))
        if not state.running:
            self._overall.close()
            self._overall = None

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
        bar.total = progress.total  # what is seen first may be of a run before, of another recipe
        bar.set_postfix(loss=f"{progress.loss:.3f}", refresh=False)
        bar.update(progress.done - bar.n)

    def _say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


def summary(state: GridState) -> str:
    """Return how many cells ended in which way."""
    told = ", ".join(f"{number} {how}" for how, number in counts(state.outcomes).items())
    return f"cells: {told or 'everything is up to date'}"
