"""The chain as a Prefect flow: its cells in parallel, each a task that runs one DVC stage.

DVC stays the only truth about what is done, so a repeated flow goes on where the last one stopped.
`tsn grid` runs it here; prefect.yaml is for a schedule. Without a Prefect server
(`PREFECT_API_URL`) it runs on a temporary one, which ends with it.

What is done, and in which order, is `flows/grid/queue.py`, which knows no Prefect; this module
shows it: a task per cell, a progress artifact per training, links to the MLflow runs, a table at
the end. Prefect never decides whether a cell succeeded, and a server that goes away does not stop
one.
"""

import contextvars
import logging
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast
from uuid import UUID

from prefect import State, flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Cancelled, Failed

from flows.grid.cells import Outcome, run_cell
from flows.grid.chain import choose_jobs
from flows.grid.display import TerminalProgress, read_progress
from flows.grid.plan import Cell, read_graph
from flows.grid.queue import GridState, RunCell, require_good, run_grid
from flows.grid.remote import Head, committed
from flows.processes.access import take_secret
from flows.processes.programs import ProgramError
from stages.tracking.status import read_status

SECONDS_BETWEEN_LOOKS = 2.0
CLOSING_SECONDS = 20.0
EXPECTED = (ProgramError, ValueError, OSError)  # their words say all, without a traceback
logger = logging.getLogger(__name__)
T = TypeVar("T")
take_secret()  # before a client of Prefect is made, however a flow is started


class CancelledError(ProgramError):
    """The flow run was cancelled in the UI."""


@flow(name="reproduce")
def reproduce(
    targets: Sequence[str] = (),
    workspace: Path = Path(),
    jobs: int | None = None,
    cpu_jobs: int | None = None,
    pool: str | None = None,
) -> State | None:
    """Bring the workspace's results up to date, with so many cells at once (`choose_jobs`).

    With `pool`, the workers of that work pool run the heavy cells (`flows/grid/remote.py`).
    """
    try:
        show_grid(workspace.resolve(), targets, jobs=jobs, cpu_jobs=cpu_jobs, pool=pool)
    except CancelledError as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:
        return Failed(message=str(error))
    return None


def show_grid(
    workspace: Path,
    targets: Sequence[str],
    *,
    jobs: int | None = None,
    cpu_jobs: int | None = None,
    pool: str | None = None,
) -> None:
    """Run the grid as tasks of the flow run that this is called in, and shows it there.

    Not as a flow run below that one, which would be left as running if this process is killed:
    those send no heartbeat. ProgramError if a cell fails, CancelledError if the run is cancelled.
    """
    stop = threading.Event()
    terminal, prefect = TerminalProgress(workspace), PrefectProgress(workspace)
    outcomes: tuple[Outcome, ...] = ()

    def watch(state: GridState) -> None:
        terminal(state)
        prefect(state)

    try:
        outcomes = run_grid(
            workspace,
            targets,
            choose_jobs(workspace, jobs, cpu_jobs),
            as_task(choose_place(workspace, pool, stop)),
            watch=watch,
            stop=stop,
        )
        require_good(outcomes)
    finally:
        prefect.close(outcomes)


def choose_place(workspace: Path, pool: str | None, stop: threading.Event) -> RunCell:
    """Return what runs a cell: dvc in this workspace, or a worker of the pool."""
    if pool is None:
        return partial(run_cell, workspace=workspace, stop=stop)
    commit, graph = committed(workspace), read_graph(workspace)
    return Head(workspace=workspace, graph=graph, commit=commit, pool=pool, stop=stop).run_cell


def as_task(run: RunCell) -> RunCell:
    """Return the same function, run in a Prefect task."""

    def run_as_task(cell: Cell) -> Outcome:
        return run_in_task("cell", cell.name, partial(run, cell), failure=lambda row: row.reason)

    return run_as_task


def run_in_task(
    kind: str, name: str, work: Callable[[], T], *, failure: Callable[[T], str] = lambda _: ""
) -> T:
    """Run `work` in a Prefect task; what it returns or raises counts, Prefect does not.

    failure: why a result fails the task, or nothing.
    """
    results: list[T] = []
    errors: list[Exception] = []

    @task(name=kind, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)
    def run() -> State | None:
        try:
            results.append(work())
            why = failure(results[0])
        except EXPECTED as error:
            errors.append(error)
            why = str(error)
        except Exception as error:
            errors.append(error)
            raise
        return Failed(message=why) if why else None

    with suppress(Exception):
        run(return_state=True)
    for error in errors:
        raise error
    return results[0] if results else work()  # Prefect failed before it began


class PrefectProgress:
    """Shows every state it is called with in Prefect's UI; CancelledError if cancelled there.

    On a thread of its own: a server that does not answer must not keep a cell waiting.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._flow_run = UUID(flow_run.id)
        self._state = GridState(running=(), outcomes=(), queued=())
        self._bars: dict[str, UUID] = {}
        self._linked: set[str] = set()
        self._ended = 0
        self._answers = True
        self._outcomes: tuple[Outcome, ...] = ()
        self._cancelled = threading.Event()
        self._closed = threading.Event()
        context = contextvars.copy_context()  # by which artifacts know their flow run
        self._thread = threading.Thread(target=context.run, args=(self._follow,), daemon=True)
        self._thread.start()

    def __call__(self, state: GridState) -> None:
        self._state = state
        if self._cancelled.is_set():
            raise CancelledError("cancelled in the UI; no process of it is left")

    def close(self, outcomes: Sequence[Outcome] = ()) -> None:
        """Show how everything ended, with a table; wait for the server, but not for long."""
        self._outcomes = tuple(outcomes)
        self._closed.set()
        self._thread.join(CLOSING_SECONDS)

    def _follow(self) -> None:
        while not self._closed.wait(SECONDS_BETWEEN_LOOKS):
            self._try(self._look)
        self._try(self._look)
        if self._outcomes:
            self._try(partial(self._tabulate, self._outcomes))

    def _try(self, show: Callable[[], None]) -> None:
        """Show something, or say once per outage that the server cannot be reached."""
        try:
            show()
        except Exception as error:  # whatever it is, the cells go on
            if self._answers:
                logger.warning("Prefect is not reachable: the grid goes on without (%s)", error)
            self._answers = False
        else:
            if not self._answers:
                logger.warning("Prefect is reachable again")
            self._answers = True

    def _look(self) -> None:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(self._flow_run).state
        if run is not None and (run.is_cancelling() or run.is_cancelled()):
            self._cancelled.set()
        state = self._state
        ended = [outcome.cell for outcome in state.outcomes[self._ended :]]
        for cell in (*state.running, *ended):
            self._show(cell)
        self._ended = len(state.outcomes)  # not before: what an outage hides is shown after it

    def _show(self, cell: str) -> None:
        status = read_status(self._workspace, cell)
        link = status.get("link")
        if isinstance(link, str) and cell not in self._linked:
            create_link_artifact(link, link_text=cell, key=key_of("mlflow", cell))
            self._linked.add(cell)
        if progress := read_progress(status):
            percent, text = 100 * progress.done / progress.total, f"{cell}: {progress}"
            if cell not in self._bars:
                key = key_of("progress", cell)
                created = create_progress_artifact(percent, key=key, description=text)
                self._bars[cell] = cast(UUID, created)
            else:
                update_progress_artifact(self._bars[cell], percent, description=text)

    def _tabulate(self, outcomes: Sequence[Outcome]) -> None:
        rows = [
            {
                "cell": row.cell,
                "outcome": str(row.state),
                "seconds": round(row.seconds, 1),
                "attempts": row.attempts,
                "why": row.reason,
                "MLflow": f"[run]({link})" if (link := self._link(row)) else "",
            }
            for row in outcomes
        ]
        create_table_artifact(rows, key="grid", description="The cells that were not up to date")

    def _link(self, outcome: Outcome) -> object:
        """Return the address of its run, which may have been logged after the cell ended."""
        return outcome.link or read_status(self._workspace, outcome.cell).get("link")


def key_of(kind: str, cell: str) -> str:
    """Return a key as Prefect takes it: lower case, digits and dashes."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', cell.lower()).strip('-')}"
