"""The chain as a Prefect flow: its cells in parallel, each a task that runs one DVC stage.

DVC stays the only truth about what is done, so a repeated flow goes on where the last one stopped.
`tsn grid` runs it here; prefect.yaml is for a schedule. Without a Prefect server
(`PREFECT_API_URL`) it runs on a temporary one, which ends with it.

What is done, and in which order, is `flows/grid/queue.py`, which knows no Prefect; this module
makes a task of each cell, and `flows/grid/prefect_ui.py` shows the rest. Prefect never decides
whether a cell succeeded, and a server that goes away does not stop one.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled, Completed, Failed

from flows.grid.cells import Outcome, run_cell
from flows.grid.display import TerminalProgress
from flows.grid.jobs import choose_jobs
from flows.grid.plan import Cell, read_graph
from flows.grid.prefect_ui import CancelledError, GridPage, name_of_grid, summary, tell, told_in_log
from flows.grid.queue import GridState, RunCell, require_good, run_grid
from flows.grid.remote import Head, committed
from flows.processes.access import take_secret
from flows.processes.programs import ProgramError

EXPECTED = (ProgramError, ValueError, OSError)  # their words say all, without a traceback
T = TypeVar("T")
take_secret()  # before a client of Prefect is made, however a flow is started


@flow(name="grid", flow_run_name=name_of_grid)
def reproduce(
    targets: Sequence[str] = (),
    workspace: Path = Path(),
    jobs: int | None = None,
    cpu_jobs: int | None = None,
    pool: str | None = None,
) -> State:
    """Bring the workspace's results up to date, with so many cells at once (`choose_jobs`).

    With `pool`, the workers of that work pool run the heavy cells (`flows/grid/remote.py`).
    """
    try:
        with told_in_log():
            done = show_grid(workspace.resolve(), targets, jobs=jobs, cpu_jobs=cpu_jobs, pool=pool)
            return Completed(message=done)
    except CancelledError as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:
        tell(str(error), bad=True)
        return Failed(message=str(error))


def show_grid(
    workspace: Path,
    targets: Sequence[str],
    *,
    name: str = "all",
    jobs: int | None = None,
    cpu_jobs: int | None = None,
    pool: str | None = None,
) -> str:
    """Run the grid as tasks of the flow run that this is called in; return in a line how it went.

    name: of its artifacts.

    Not as a flow run below that one, which would be left as running if this process is killed:
    those send no heartbeat. ProgramError if a cell fails, CancelledError if the run is cancelled.
    """
    stop = threading.Event()
    terminal, page = TerminalProgress(workspace), GridPage(workspace, name)

    def watch(state: GridState) -> None:
        terminal(state)
        page(state)

    try:
        outcomes = run_grid(
            workspace,
            targets,
            choose_jobs(workspace, jobs, cpu_jobs, elsewhere=pool is not None),
            as_task(choose_place(workspace, pool, stop)),
            watch=watch,
            stop=stop,
        )
        require_good(outcomes)
        return summary(GridState(running=(), outcomes=outcomes, queued=()))
    finally:
        page.close()


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
