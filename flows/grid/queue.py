"""The grid in parallel: the cells of a plan, each as soon as what it needs is done.

`execute` knows no DVC: it runs a function for every cell, on threads of its own, so that the
function may be `run_cell` of `flows/grid/cells.py`, a Prefect task around it, or one that sends the
cell elsewhere. `run_grid` is all that `make grid` does, without Prefect.
"""

import contextvars
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from flows.grid.cells import Outcome, State
from flows.grid.lock_order import forget_order, keep_order, remember_order
from flows.grid.plan import Cell, Plan, make_plan
from flows.processes.locks import only_one
from flows.processes.programs import ProgramError, run_stage

logger = logging.getLogger(__name__)

LOCK = Path(".dvc/tmp/grid.lock")
HEAVY_STAGES = frozenset({"extract", "pretrain", "train", "score"})  # a GPU each, or many threads
WATCH_SECONDS = 1.0


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
RunStage = Callable[[str, Path], None]
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


def run_grid(
    workspace: Path,
    targets: Sequence[str],
    jobs: Jobs,
    run_cell: RunCell,
    *,
    watch: Watch,
    stop: threading.Event,
    run_stage: RunStage = run_stage,
) -> tuple[Outcome, ...]:
    """Brings the targets, or everything, up to date; the outcomes of the cells that were not.

    Refuses bad parameters before anything runs, and a workspace where another grid runs. Leaves the
    dvc.lock that `dvc repro` leaves, and gives MLflow the runs of restored cells. Whether all is
    well is for `require_good` to say. `run_stage` runs the stages check and sync of a workspace,
    for one that has none of the project's parameters to do otherwise.
    """
    with only_one(workspace / LOCK, f"another grid runs in {workspace.resolve()}"):
        run_stage("check", workspace)
        plan = make_plan(workspace, targets)
        is_first = remember_order(workspace)
        outcomes = execute(plan, run_cell, jobs, watch=watch, stop=stop)
        if outcomes or not is_first:  # killed before it had put them in order, perhaps
            keep_order(workspace, plan.targets, stop=stop)
        try:
            run_stage("sync", workspace)
        except ProgramError as error:  # as everything about MLflow, it does not decide
            logger.warning("%s", error)
        if all(outcome.good for outcome in outcomes):
            if outcomes:
                require_clean(workspace, plan.targets)
            forget_order(workspace)
    return outcomes


def require_clean(workspace: Path, targets: Sequence[str]) -> None:
    """ProgramError if something is not up to date although all cells ended well."""
    left = make_plan(workspace, targets).cells
    if left:
        names = ", ".join(cell.name for cell in left[:5])
        raise ProgramError(
            f"{len(left)} cells have changed while the grid ran: {names}; run it again"
        )


def require_good(outcomes: Sequence[Outcome]) -> None:
    """ProgramError with the reason of every failed cell, and the cells skipped for it."""
    failed = [f"{row.cell} failed:\n{row.reason}" for row in outcomes if row.state is State.FAILED]
    skipped = [row.cell for row in outcomes if row.state is State.SKIPPED]
    if skipped:
        failed.append(f"skipped, as they need what failed: {', '.join(skipped)}")
    if failed:
        failed.append("What finished is kept: the next run does the rest")
        raise ProgramError("\n\n".join(failed))


def counts(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """How many cells ended in which state."""
    return {state: n for state in State if (n := sum(o.state is state for o in outcomes))}
