"""One cell: a stage of dvc.yaml run by dvc alone, again if what failed may pass, and how it went.

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
from pathlib import Path

from flows.grid.mend import TORN, keep_copy, mend
from flows.grid.plan import Cell
from flows.processes.programs import DVC, ProgramError, StoppedError, run_program
from stages.tracking.status import file_name, read_status, status_path

LOGS = Path(".tsn/logs")
REASON_LINES = 8
LOG_BYTES = 100_000  # of an attempt's end, to look for the reason in

# The pauses before the second and the third attempt of a cell, give or take a half.
RETRY_SECONDS = (2.0, 15.0)
# What dvc itself says of troubles that pass.
PASSING = re.compile(
    rf"{TORN.pattern}|is busy|[Uu]nable to acquire lock|database is locked"
    r"|Resource temporarily unavailable|Connection (?:reset|refused)"
)
EXIT_CODE = re.compile(r", exited with (-?\d+)$", re.MULTILINE)
SIGNALS = range(129, 193)  # what 128 + n means
NOT_THE_REASON = re.compile(r"^(Running stage|> |ERROR: failed to reproduce|Updating lock file)")


class State(StrEnum):
    """How a cell ended. Restored: its result was taken from DVC's run-cache."""

    RAN = "ran"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"


# What dvc prints of a cell that it has not run.
NOT_RUN = {"is cached - skipping run": State.RESTORED, "didn't change, skipping": State.UNCHANGED}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one cell went: for how long, in how many attempts, why not, and its MLflow run."""

    cell: str
    state: State
    seconds: float
    attempts: int
    reason: str
    link: str

    @property
    def good(self) -> bool:
        return self.state not in (State.FAILED, State.SKIPPED)


def run_cell(
    cell: Cell,
    workspace: Path,
    *,
    stop: threading.Event,
    pull: bool = False,
    retry_seconds: Sequence[float] = RETRY_SECONDS,
) -> Outcome:
    """Runs one cell through dvc, again after a pause if it failed by what may pass.

    With `pull`, what the DVC remote has of it and of its inputs is taken from there. What it prints
    goes to `.tsn/logs/<cell>.log`. A ProgramError on the way is a failed outcome, too: it must not
    end the cells beside this one. Raises StoppedError once `stop` is set, with no process left
    behind.
    """
    start = time.monotonic()
    log = log_path(workspace, cell.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    status_path(workspace, cell.name).unlink(missing_ok=True)
    options = ["--pull"] if pull else []
    command = [*DVC, "repro", *options, "--single-item", cell.name]
    state, attempt, why = State.FAILED, 0, ""
    try:
        for attempt, pause in enumerate((*retry_seconds, None), start=1):
            code, text = _attempt(command, workspace, log, stop=stop, is_first=attempt == 1)
            if code == 0:
                state = _state(text)
                keep_copy(workspace)
                break
            why = reason(text) or f"dvc exited with {code}"
            if pause is None or not may_pass(code, text):
                break
            seconds = pause * random.uniform(0.5, 1.5)  # cells that failed together come apart
            _tell(log, f"attempt {attempt} failed; the next one in {seconds:.0f} s")
            if stop.wait(seconds):
                raise StoppedError(f"stopped: {cell.name}")
            mend(workspace, stop=stop)
    except ProgramError as error:
        state, why = State.FAILED, str(error)
    return Outcome(
        cell=cell.name,
        state=state,
        seconds=time.monotonic() - start,
        attempts=attempt,
        reason=f"{why}\n({log})" if state is State.FAILED else "",
        link=str(read_status(workspace, cell.name).get("link", "")),
    )


def log_path(workspace: Path, cell: str) -> Path:
    """Where the output of a cell's last run is."""
    return workspace / LOGS / f"{file_name(cell)}.log"


def _attempt(
    command: Sequence[str], workspace: Path, log: Path, *, stop: threading.Event, is_first: bool
) -> tuple[int, str]:
    """The exit code of one run of the command, and the end of what it added to the log."""
    with log.open("wb" if is_first else "ab") as output:
        begin = output.tell()
        code = run_program(command, workspace, output=output, stop=stop)
        end = output.seek(0, os.SEEK_END)  # written to by the program, behind our back
    return code, _read_end(log, end - begin)


def _read_end(log: Path, length: int) -> str:
    with log.open("rb") as file:
        file.seek(-min(length, LOG_BYTES), os.SEEK_END)
        return file.read().decode(errors="replace")


def _tell(log: Path, line: str) -> None:
    with log.open("a") as output:
        output.write(f"\n[{line}]\n")


def may_pass(code: int, text: str) -> bool:
    """Whether another attempt may succeed where dvc ended with this code, saying this.

    It may after a death by signal, of dvc or of the stage, after a stage that says so itself by
    EX_TEMPFAIL (`stages/runtime/command.py`), and when dvc lost a lock. Never for bad parameters.
    """
    if code in SIGNALS:
        return True
    if found := EXIT_CODE.findall(text):
        exit_code = int(found[-1])
        return exit_code == os.EX_TEMPFAIL or exit_code < 0 or exit_code in SIGNALS
    return PASSING.search(text) is not None


def _state(text: str) -> State:
    return next((state for words, state in NOT_RUN.items() if words in text), State.RAN)


def reason(text: str) -> str:
    """The last lines of a failed cell's output, without what dvc says of every cell."""
    lines = [line.rstrip() for line in text.splitlines()]
    told = [line for line in lines if line and not NOT_THE_REASON.match(line)]
    failure = [line for line in lines if line.startswith("ERROR: failed to reproduce")]
    return "\n".join(told[-REASON_LINES:] or failure[-1:])
