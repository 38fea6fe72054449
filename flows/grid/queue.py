"""The grid in parallel: the cells of a plan, each as soon as what it needs is done.

`execute` knows no DVC: it runs a function for every cell, on threads of its own, so that the
function may be `run_cell` of `flows/grid/cells.py`, a Prefect task around it, or one that sends the
cell elsewhere. `run_grid` is all that `tsn grid` does, without Prefect.
"""

import contextvars
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from flows.grid.active import only_run
from flows.grid.cells import CellState, Outcome
from flows.grid.lock_file import is_sorted, keep_copy, repair, sort_entries
from flows.grid.plan import (
    Cell,
    Plan,
    changed_cells,
    make_plan,
    plan_of,
    read_graph,
    repro_order,
)
from flows.processes.programs import ProgramError, StoppedError, run_stage
from tsn.modality import MODALITIES

logger = logging.getLogger(__name__)

CHECKS = ("selection", "check")  # refuse params.yaml and recipes that cannot be, in this order
HEAVY_STAGES = frozenset(  # a GPU each, or many threads
    {"extract", "pretrain", "baseline", "train", "score"}
)
WATCH_SECONDS = 1.0
SYNC_SECONDS = 60.0  # at least, between two looks for cells to log to MLflow
# What is not up to date although its cell ended well is run once more: a kill that truncated
# dvc.lock may have lost cells of it, which then come from DVC's run-cache.
ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """How many cells run at once: of the heavy stages (a GPU each, if there are any), of others.

    training_runs: how many of the heavy ones may train, which takes most memory; None: all.
    frames_beside: whether the extraction of frames, which needs no GPU, is no heavy cell. Then a
        dataset has one at a time: another modality finds the same frames in the store.
    """

    heavy: int
    light: int
    training_runs: int | None = None
    frames_beside: bool = False

    def __post_init__(self) -> None:
        if self.heavy < 1 or self.light < 1:
            raise ValueError(f"at least one job of each kind, got {self.heavy} and {self.light}")


@dataclass(frozen=True, kw_only=True)
class GridState:
    """The grid at one moment: the cells that run, those that have ended, those that are to come."""

    running: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    queued: tuple[str, ...]

    @property
    def waiting(self) -> int:
        """Return how many cells are to come."""
        return len(self.queued)

    @property
    def total(self) -> int:
        """Return how many cells there are."""
        return len(self.running) + len(self.outcomes) + len(self.queued)


RunCell = Callable[[Cell], Outcome]
RunStage = Callable[..., None]  # as `flows.processes.programs.run_stage`
Watch = Callable[[GridState], None]


def execute(
    plan: Plan, run_cell: RunCell, jobs: Jobs, *, watch: Watch, stop: threading.Event
) -> tuple[Outcome, ...]:
    """Run every cell of the plan after its upstreams; return the outcomes in the order they came.

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
                queued = tuple(queue.waiting)
                watch(GridState(running=names, outcomes=queue.outcomes, queued=queued))
                if not running:
                    return queue.outcomes
                ended, _ = wait(running, WATCH_SECONDS, FIRST_COMPLETED)
                for future in ended:
                    queue.keep(running.pop(future), future.result())
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
        """Take the cells that can start beside the running ones, in the plan's order."""
        counts = Counter(limit for cell in running for limit in self._limits(cell))
        for cell in list(self.waiting.values()):
            limits = self._limits(cell)
            fits = all(counts[limit] < most for limit, most in limits.items())
            if fits and all(name in self._done for name in cell.upstreams):
                counts.update(limits.keys())
                yield self.waiting.pop(cell.name)

    def _limits(self, cell: Cell) -> dict[str, int]:
        """Return what a cell counts for, and how many of each may run at once."""
        jobs = self._jobs
        if jobs.frames_beside and extracts_frames(cell):
            return {"light": jobs.light, cell.name.rpartition("-")[0]: 1}
        if not is_heavy(cell):
            return {"light": jobs.light}
        if jobs.training_runs is not None and stage_of(cell.name) == "train":
            return {"heavy": jobs.heavy, "training_runs": jobs.training_runs}
        return {"heavy": jobs.heavy}

    def keep(self, cell: Cell, outcome: Outcome) -> None:
        """Keep an outcome; skip what cannot start any more."""
        self._done[cell.name] = outcome
        for below in list(self.waiting.values()):  # in the plan's order: children of skipped, too
            lost = [n for n in below.upstreams if n in self._done and not self._done[n].good]
            if lost:
                del self.waiting[below.name]
                reason = f"needs {', '.join(lost)}"
                self._done[below.name] = Outcome(
                    cell=below.name,
                    state=CellState.SKIPPED,
                    seconds=0.0,
                    attempts=0,
                    reason=reason,
                    link="",
                )


def is_heavy(cell: Cell) -> bool:
    """Return whether a cell is of a stage that uses a GPU where there is one."""
    return stage_of(cell.name) in HEAVY_STAGES


def extracts_frames(cell: Cell) -> bool:
    """Return whether a cell is the extraction of a modality that reads frames."""
    row = MODALITIES.get(cell.name.rpartition("-")[2])
    return stage_of(cell.name) == "extract" and row is not None and row.stream == "frames"


def stage_of(cell: str) -> str:
    """Return `train` of `train@synthetic-1-rgb`, wherever its dvc.yaml lies."""
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
    """Bring the targets, or everything, up to date; return the outcomes of the cells that were not.

    Refuses bad recipes before anything else runs, and a workspace where another grid runs. Leaves
    dvc.lock in the order of `dvc repro`, and MLflow with the runs of what is finished. Whether all
    is well is for `require_good` to say. `run_stage` is for a workspace without the project's code.
    """
    sync = partial(run_stage, "operate.sync", workspace, stop=stop)
    with only_run(workspace):
        repair(workspace, stop=stop)
        logger.info("reading what is up to date")
        graph, changed = read_graph(workspace), changed_cells(workspace)
        unchecked = {stage_of(name) for name in changed}.intersection(CHECKS)
        for check in sorted(unchecked, key=CHECKS.index):
            require_good([run_cell(Cell(name=check, upstreams=()))])
        if unchecked:
            changed = changed_cells(workspace)  # what a check finds good again has not changed
        keep_copy(workspace)
        outcomes: tuple[Outcome, ...] = ()
        with now_and_then(sync) as synced:
            for _ in range(ROUNDS):
                if outcomes:  # the graph may have changed, too
                    plan = make_plan(workspace, targets)
                else:
                    plan = plan_of(graph, changed, targets)
                if outcomes and not plan.cells:
                    break
                watch_all = partial(_watch_further, [synced, watch], outcomes)
                outcomes += execute(plan, run_cell, jobs, watch=watch_all, stop=stop)
                if not outcomes or not all(outcome.good for outcome in outcomes):
                    break
            else:
                require_clean(workspace, targets)
        if not is_sorted(workspace):  # to ask for the order takes seconds
            sort_entries(workspace, repro_order(workspace), stop=stop)
        log_to_mlflow(sync)
    return outcomes


@contextmanager
def now_and_then(sync: Callable[[], None]) -> Iterator[Watch]:
    """Give a watch that has the cells that ended logged to MLflow, beside those that run."""
    with ThreadPoolExecutor(1) as thread:
        last, ended = time.monotonic(), 0
        running: Future[None] | None = None

        def watch(state: GridState) -> None:
            nonlocal last, ended, running
            due = time.monotonic() - last > SYNC_SECONDS and (running is None or running.done())
            if due and len(state.outcomes) > ended:
                last, ended = time.monotonic(), len(state.outcomes)
                running = thread.submit(log_to_mlflow, sync)

        yield watch


def log_to_mlflow(sync: Callable[[], None]) -> None:
    """Run `sync`; as everything about MLflow, it does not decide."""
    try:
        sync()
    except (ProgramError, OSError) as error:
        logger.warning("%s", error)
    except StoppedError:
        logger.info("what is finished is logged to MLflow by the next run")


def _watch_further(watches: Sequence[Watch], before: tuple[Outcome, ...], state: GridState) -> None:
    for watch in watches:
        watch(replace(state, outcomes=before + state.outcomes))


def require_clean(workspace: Path, targets: Sequence[str]) -> None:
    """Raise ProgramError if something is not up to date although all cells ended well."""
    if left := make_plan(workspace, targets).cells:
        names = ", ".join(cell.name for cell in left[:5])
        raise ProgramError(
            f"{len(left)} cells have changed while the grid ran: {names}; run it again"
        )


def require_good(outcomes: Sequence[Outcome]) -> None:
    """Raise ProgramError with the reason of every failed cell, and the cells skipped for it."""
    failed = [
        f"{row.cell} failed:\n{row.reason}" for row in outcomes if row.state is CellState.FAILED
    ]
    skipped = [row.cell for row in outcomes if row.state is CellState.SKIPPED]
    if skipped:
        failed.append(f"skipped, as they need what failed: {', '.join(skipped)}")
    if failed:
        failed.append("What finished is kept: the next run does the rest")
        raise ProgramError("\n\n".join(failed))


def counts(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """Return how many cells ended in which state."""
    return {state: n for state in CellState if (n := sum(o.state is state for o in outcomes))}
