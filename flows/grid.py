"""The grid in parallel: the cells of a plan, each as soon as what it needs is done.

`execute` knows no DVC: it runs a function for every cell, on threads of its own, so that the
function may be `run_cell` here, a Prefect task around it, or one that sends the cell elsewhere.
`run_cell` is `dvc --wait-for-lock repro --single-item <cell>`: DVC stays the only record of what
is done, and the next plan holds what is left.
"""

import contextvars
import fcntl
import os
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from flows.plan import Cell, Plan
from flows.programs import DVC, ProgramError, Stopped, run_program
from stages.status import file_name, read_status, status_path

LOGS = Path(".tsn/logs")
LOCK = Path(".dvc/tmp/grid.lock")
HEAVY_STAGES = frozenset({"extract", "pretrain", "train", "score"})  # a GPU each, or many threads
WATCH_SECONDS = 1.0
REASON_LINES = 8
LOG_BYTES = 100_000  # of an attempt's end, to look for the reason in

# The pauses before the second and the third attempt of a cell, give or take a half.
RETRY_SECONDS = (2.0, 15.0)
# What dvc itself says of troubles that pass.
PASSING = re.compile(
    r"is busy|[Uu]nable to acquire lock|dvc\.lock' validation failed|database is locked"
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


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """How many cells run at once: of the heavy stages (a GPU each, if there are any), of others."""

    heavy: int
    light: int

    def __post_init__(self) -> None:
        if self.heavy < 1 or self.light < 1:
            raise ValueError(f"at least one job of each kind, got {self.heavy} and {self.light}")


@dataclass(frozen=True, kw_only=True)
class Board:
    """The grid at one moment: the cells that run, those that have ended, how many are to come."""

    running: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    waiting: int


RunCell = Callable[[Cell], Outcome]
Watch = Callable[[Board], None]


def execute(
    plan: Plan, run_cell: RunCell, jobs: Jobs, *, watch: Watch, stop: threading.Event
) -> tuple[Outcome, ...]:
    """Runs every cell of the plan after its upstreams; the outcomes in the order they came.

    A failed cell's descendants are skipped, all others run. `run_cell` is called on threads that
    see the caller's context variables; `watch` here, after every change and once a second. If
    anything raises, `run_cell` and `watch` included, `stop` is set, which has to end what
    `run_cell` started, and the error is raised once all threads have ended.
    """
    queue = _Queue(plan, jobs)
    running: dict[Future[Outcome], Cell] = {}
    with ThreadPoolExecutor(jobs.heavy + jobs.light) as threads:
        try:
            while True:
                for cell in queue.take(running.values()):
                    context = contextvars.copy_context()
                    running[threads.submit(context.run, run_cell, cell)] = cell
                names = tuple(cell.name for cell in running.values())
                watch(Board(running=names, outcomes=queue.outcomes, waiting=len(queue.waiting)))
                if not running:
                    return queue.outcomes
                ended, _ = wait(running, WATCH_SECONDS, FIRST_COMPLETED)
                for future in ended:
                    queue.settle(running.pop(future), future.result())
        except BaseException:
            stop.set()
            raise


class _Queue:
    """The cells of a plan that have not been started, and how the others ended."""

    def __init__(self, plan: Plan, jobs: Jobs) -> None:
        self.waiting = {cell.name: cell for cell in plan.cells}
        self._jobs = jobs
        self._done: dict[str, Outcome] = {}

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._done.values())

    def take(self, running: Collection[Cell]) -> Iterator[Cell]:
        """Cells that can start beside the running ones, in the plan's order."""
        heavy = sum(map(is_heavy, running))
        free = {True: self._jobs.heavy - heavy, False: self._jobs.light - len(running) + heavy}
        for cell in list(self.waiting.values()):
            if free[is_heavy(cell)] > 0 and all(name in self._done for name in cell.upstreams):
                free[is_heavy(cell)] -= 1
                yield self.waiting.pop(cell.name)

    def settle(self, cell: Cell, outcome: Outcome) -> None:
        """Keeps an outcome; what cannot start any more is skipped."""
        self._done[cell.name] = outcome
        for below in list(self.waiting.values()):  # in the plan's order: children of skipped, too
            lost = [n for n in below.upstreams if n in self._done and not self._done[n].good]
            if lost:
                del self.waiting[below.name]
                reason = f"needs {', '.join(lost)}"
                self._done[below.name] = Outcome(
                    cell=below.name,
                    state=State.SKIPPED,
                    seconds=0.0,
                    attempts=0,
                    reason=reason,
                    link="",
                )


def is_heavy(cell: Cell) -> bool:
    """Whether a cell is of a stage that uses a GPU where there is one."""
    return stage_of(cell.name) in HEAVY_STAGES


def stage_of(cell: str) -> str:
    """`train` of `train@synthetic-1-rgb`, wherever its dvc.yaml lies."""
    return cell.rpartition(":")[2].partition("@")[0]


def run_cell(
    cell: Cell,
    workspace: Path,
    *,
    stop: threading.Event,
    retry_seconds: Sequence[float] = RETRY_SECONDS,
) -> Outcome:
    """Runs one cell through dvc, again after a pause if it failed by what may pass.

    What it prints goes to `.tsn/logs/<cell>.log`. Raises Stopped as soon as `stop` is set, with no
    process left behind.
    """
    start = time.monotonic()
    log = log_path(workspace, cell.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    status_path(workspace, cell.name).unlink(missing_ok=True)
    with log.open("wb") as output:
        for attempt, pause in enumerate((*retry_seconds, None), start=1):
            begin = output.tell()
            command = [*DVC, "repro", "--single-item", cell.name]
            code = run_program(command, workspace, output=output, stop=stop)
            end = output.seek(0, os.SEEK_END)  # written to by the program, behind our back
            text = _read_end(log, end - begin)
            if code == 0 or pause is None or not may_pass(code, text):
                break
            seconds = pause * random.uniform(0.5, 1.5)  # cells that failed together come apart
            _tell(output, f"attempt {attempt} failed; the next one in {seconds:.0f} s")
            if stop.wait(seconds):
                raise Stopped(f"stopped: {cell.name}")
    return Outcome(
        cell=cell.name,
        state=_state(text) if code == 0 else State.FAILED,
        seconds=time.monotonic() - start,
        attempts=attempt,
        reason="" if code == 0 else f"{reason(text) or f'dvc exited with {code}'}\n({log})",
        link=str(read_status(workspace, cell.name).get("link", "")),
    )


def log_path(workspace: Path, cell: str) -> Path:
    """Where the output of a cell's last run is."""
    return workspace / LOGS / f"{file_name(cell)}.log"


def _read_end(log: Path, length: int) -> str:
    with log.open("rb") as file:
        file.seek(-min(length, LOG_BYTES), os.SEEK_END)
        return file.read().decode(errors="replace")


def _tell(output: IO[bytes], line: str) -> None:
    output.write(f"\n[{line}]\n".encode())
    output.flush()


def may_pass(code: int, text: str) -> bool:
    """Whether another attempt may succeed where dvc ended with this code, saying this.

    It may after a death by signal, of dvc or of the stage, after a stage that says so itself by
    EX_TEMPFAIL (`stages/command.py`), and when dvc lost a lock. Never because of bad parameters.
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


@contextmanager
def only_grid(workspace: Path) -> Iterator[None]:
    """Holds the workspace for one grid; ProgramError if another process has it.

    The kernel gives the lock back when this process ends, however it does.
    """
    path = workspace / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ProgramError(
                f"another grid runs in {workspace.resolve()}: pid {lock.read().strip() or '?'}. "
                "Wait for it, or stop it; a second one would run the same cells"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def failures(outcomes: Sequence[Outcome]) -> str:
    """A paragraph for each failed cell and a line on the skipped ones; empty when all is well."""
    failed = [f"{row.cell} failed:\n{row.reason}" for row in outcomes if row.state is State.FAILED]
    skipped = [row.cell for row in outcomes if row.state is State.SKIPPED]
    if skipped:
        failed.append(f"skipped, as they need what failed: {', '.join(skipped)}")
    return "\n\n".join(failed)


def counts(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """How many cells ended in which state."""
    return {state: n for state in State if (n := sum(o.state is state for o in outcomes))}
