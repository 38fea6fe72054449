"""One cell: a stage of dvc.yaml run by dvc, again after a failure that may be transient.

`dvc --wait-for-lock repro --single-item <cell>`: DVC stays the only record of what is done, and its
inputs are up to date because `flows/grid/queue.py` runs what makes them before.
"""

import os
import random
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from pathlib import Path

from flows.grid.lock_file import TRUNCATED, keep_copy, repair
from flows.grid.plan import Cell
from flows.processes.programs import DVC, ProgramError, StoppedError, last_words, run_logged
from stages.runtime.places import LOGS
from stages.tracking.status import file_name, read_status, status_path

# The pauses before the second and the third attempt of a cell, give or take a half.
RETRY_SECONDS = (2.0, 15.0)
# What dvc itself says of troubles that another attempt may not meet.
TRANSIENT_ERRORS = re.compile(
    rf"{TRUNCATED}|is busy|[Uu]nable to acquire lock|database is locked"
    r"|Resource temporarily unavailable|Connection (?:reset|refused)"
)
EXIT_CODE = re.compile(r", exited with (-?\d+)$", re.MULTILINE)
TRANSIENT_SIGNALS = range(129, 193)  # 128 + n


class CellState(StrEnum):
    """How a cell ended. Restored: its result was taken from DVC's run-cache."""

    RAN = "ran"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"


# What dvc prints of a cell that it has not run.
NOT_RUN = {
    "is cached - skipping run": CellState.RESTORED,
    "didn't change, skipping": CellState.UNCHANGED,
}

# What dvc prints before and after what a stage prints.
COMMAND = "> "
STAGE_ENDED = ("Updating lock file 'dvc.lock'", "Generating lock file 'dvc.lock'")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one cell went: for how long, in how many attempts, why not, its MLflow run.

    told: the lines that its stage printed.
    """

    cell: str
    state: CellState
    seconds: float
    attempts: int
    reason: str
    link: str
    told: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Return whether the cell's result is there."""
        return self.state not in (CellState.FAILED, CellState.SKIPPED)


def run_cell(
    cell: Cell,
    workspace: Path,
    *,
    stop: threading.Event,
    pull: bool = False,
    retry_seconds: Sequence[float] = RETRY_SECONDS,
) -> Outcome:
    """Run one cell through dvc, again after a pause if another attempt may succeed.

    With `pull`, what the DVC remote has of it and of its inputs is taken from there. What it prints
    goes to `.tsn/logs/<cell>.log`. A ProgramError on the way is a failed outcome, too: it must not
    end the cells beside this one. Raises StoppedError once `stop` is set, with no process left
    behind.
    """
    start = time.monotonic()
    log = workspace / LOGS / f"{file_name(cell.name)}.log"
    status_path(workspace, cell.name).unlink(missing_ok=True)
    options = ["--pull"] if pull else []
    command = [*DVC, "repro", *options, "--single-item", cell.name]
    state, attempt, why, text = CellState.FAILED, 0, "", ""
    try:
        for attempt, pause in enumerate((*retry_seconds, None), start=1):
            code, text = run_logged(command, workspace, log, append=attempt > 1, stop=stop)
            if code == 0:
                state = _state(text)
                keep_copy(workspace)
                break
            why = last_words(text) or f"dvc exited with {code}"
            if pause is None or not is_transient(code, text):
                break
            seconds = pause * random.uniform(0.5, 1.5)  # cells that failed together come apart
            with log.open("a") as output:
                output.write(f"\n[attempt {attempt} failed; the next one in {seconds:.0f} s]\n")
            if stop.wait(seconds):
                raise StoppedError(f"stopped: {cell.name}")
            repair(workspace, stop=stop)
    except ProgramError as error:
        state, why = CellState.FAILED, str(error)
    return Outcome(
        cell=cell.name,
        state=state,
        seconds=time.monotonic() - start,
        attempts=attempt,
        reason=f"{why}\n({log})" if state is CellState.FAILED else "",
        link=str(read_status(workspace, cell.name).get("link", "")),
        told=said_by_stage(text) if state is CellState.RAN else (),
    )


def is_transient(code: int, text: str) -> bool:
    """Return whether another attempt may succeed where dvc ended with this code, saying this.

    It may after a death by signal, of dvc or of the stage, after a stage that says so itself by
    EX_TEMPFAIL (`stages/runtime/command.py`), and when dvc lost a lock. Never for bad parameters.
    """
    if code in TRANSIENT_SIGNALS:
        return True
    if found := EXIT_CODE.findall(text):
        exit_code = int(found[-1])
        return exit_code == os.EX_TEMPFAIL or exit_code < 0 or exit_code in TRANSIENT_SIGNALS
    return TRANSIENT_ERRORS.search(text) is not None


def said_by_stage(text: str) -> tuple[str, ...]:
    """Return the lines between the command of a stage and what dvc says after it."""
    lines = text.splitlines()
    commands = [number for number, line in enumerate(lines) if line.startswith(COMMAND)]
    said = takewhile(
        lambda line: line not in STAGE_ENDED, lines[commands[-1] + 1 :] if commands else ()
    )
    return tuple(line.rstrip() for line in said if line.strip())


def _state(text: str) -> CellState:
    return next((state for words, state in NOT_RUN.items() if words in text), CellState.RAN)
