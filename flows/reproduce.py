"""The chain as a Prefect flow: its cells in parallel, each a task that runs one DVC stage.

DVC stays the only truth about what is done, so a repeated flow goes on where the last one stopped.
`python -m flows.reproduce` runs it here; with `--cron` it stays and runs on schedule. Without a
Prefect server (`PREFECT_API_URL`) it runs on a temporary one, which ends with it.

What is done, and in which order, is `flows/grid.py`, which knows no Prefect; this module shows it:
a task per cell, a progress artifact per training, links to the MLflow runs, a table at the end.
Prefect never decides whether a cell succeeded, and a server that goes away does not stop one.
"""

import argparse
import logging
import os
import re
import signal
import sys
import threading
import time
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
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Failed

from flows import NEEDS_A_SERVER
from flows.board import TerminalBoard, read_progress
from flows.cells import Outcome, run_cell
from flows.grid import Board, Jobs, RunCell, require_good, run_grid
from flows.plan import Cell, read_graph
from flows.programs import ProgramError, run_program
from flows.remote import Head, committed
from stages import machine, params
from stages.status import read_status

SECONDS_BETWEEN_LOOKS = 3.0
T = TypeVar("T")
logger = logging.getLogger(__name__)
ON_A_LEASH = "TSN_FLOW_ON_A_LEASH"


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
    """Brings the workspace's results up to date, with so many cells at once (`choose_jobs`).

    With `pool`, the workers of that work pool run the heavy cells (`flows/remote.py`).
    """
    workspace = workspace.resolve()
    stop = threading.Event()
    terminal, prefect = TerminalBoard(workspace), PrefectBoard(workspace)

    def watch(board: Board) -> None:
        terminal(board)
        prefect(board)

    try:
        outcomes = run_grid(
            workspace,
            targets,
            choose_jobs(workspace, jobs, cpu_jobs),
            as_task(choose_place(workspace, pool, stop)),
            watch=watch,
            stop=stop,
        )
        prefect.tabulate(outcomes)
        require_good(outcomes)
    except CancelledError as error:
        return Cancelled(message=str(error))
    except (ProgramError, ValueError) as error:  # it says all, without a traceback
        return Failed(message=str(error))
    return None


def choose_jobs(workspace: Path, jobs: int | None, cpu_jobs: int | None) -> Jobs:
    """As many heavy cells as there are GPUs, or as `machine.threads` allows; others per core."""
    section = params.section(params.load(workspace / params.PARAMS), "machine", machine.Machine)
    return Jobs(
        heavy=machine.count_jobs(section) if jobs is None else jobs,
        light=machine.count_cores() if cpu_jobs is None else cpu_jobs,
    )


def choose_place(workspace: Path, pool: str | None, stop: threading.Event) -> RunCell:
    """What runs a cell: dvc in this workspace, or a worker of the pool."""
    if pool is None:
        return partial(run_cell, workspace=workspace, stop=stop)
    commit, graph = committed(workspace), read_graph(workspace)
    return Head(workspace=workspace, graph=graph, commit=commit, pool=pool, stop=stop).run_cell


def as_task(run: RunCell) -> RunCell:
    """The same function in a Prefect task: what it returns or raises counts, Prefect does not."""

    def run_as_task(cell: Cell) -> Outcome:
        outcomes: list[Outcome] = []
        errors: list[Exception] = []

        @task(name="cell", task_run_name=cell.name, cache_policy=NO_CACHE, persist_result=False)
        def repro() -> State | None:
            try:
                outcomes.append(run(cell))
            except Exception as error:
                errors.append(error)
                raise
            return None if outcomes[0].good else Failed(message=outcomes[0].reason)

        with suppress(Exception):
            repro(return_state=True)
        for error in errors:
            raise error
        return outcomes[0] if outcomes else run(cell)  # Prefect failed before it began

    return run_as_task


class PrefectBoard:
    """Shows the grid in Prefect's UI, and raises CancelledError when it was cancelled there."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._flow_run = UUID(flow_run.id)
        self._bars: dict[str, UUID] = {}
        self._linked: set[str] = set()
        self._ended = 0
        self._looked = time.monotonic()
        self._reachable = True

    def __call__(self, board: Board) -> None:
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS and board.running:
            return
        self._looked = time.monotonic()
        if self._attempt(self._is_cancelled):
            raise CancelledError("cancelled in the UI; no process of it is left")
        ended = [outcome.cell for outcome in board.outcomes[self._ended :]]
        self._ended = len(board.outcomes)
        for cell in (*board.running, *ended):
            self._attempt(partial(self._show, cell))

    def tabulate(self, outcomes: Sequence[Outcome]) -> None:
        """The table of all cells that were not up to date."""
        rows = [
            {
                "cell": row.cell,
                "outcome": str(row.state),
                "seconds": round(row.seconds, 1),
                "attempts": row.attempts,
                "why": row.reason,
                "MLflow": f"[run]({row.link})" if row.link else "",
            }
            for row in outcomes
        ]
        text = "The cells that were not up to date"
        self._attempt(partial(create_table_artifact, rows, key="grid", description=text))

    def _is_cancelled(self) -> bool:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(self._flow_run).state
        return state is not None and (state.is_cancelling() or state.is_cancelled())

    def _show(self, cell: str) -> None:
        status = read_status(self._workspace, cell)
        link = status.get("link")
        if isinstance(link, str) and cell not in self._linked:
            self._linked.add(cell)
            create_link_artifact(link, link_text=cell, key=key_of("mlflow", cell))
        if progress := read_progress(status):
            percent, text = 100 * progress.done / progress.total, f"{cell}: {progress}"
            if cell not in self._bars:
                key = key_of("progress", cell)
                created = create_progress_artifact(percent, key=key, description=text)
                self._bars[cell] = cast(UUID, created)
            else:
                update_progress_artifact(self._bars[cell], percent, description=text)

    def _attempt(self, show: Callable[[], T]) -> T | None:
        """Prefect's answer; None for ever once it gave none: showing the grid never ends it."""
        if self._reachable:
            try:
                return show()
            except Exception as error:  # whatever it is, the cells go on
                self._reachable = False
                logger.warning("Prefect is not reachable: the grid goes on without (%s)", error)
        return None


def key_of(kind: str, cell: str) -> str:
    """A key as Prefect takes it: lower case, digits and dashes."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', cell.lower()).strip('-')}"


def main() -> None:
    """Once, or on a schedule."""
    parser = argparse.ArgumentParser(
        prog="reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="cells, stages or patterns; none means all")
    parser.add_argument(
        "--jobs",
        type=int,
        help="trainings, scorings and extractions at once (default: GPUs, or "
        "cores / machine.threads)",
    )
    parser.add_argument("--cpu-jobs", type=int, help="other stages at once (default: cores)")
    parser.add_argument(
        "--pool", help="a work pool whose workers run trainings, scorings and extractions"
    )
    parser.add_argument("--cron", help='schedule, e.g. "0 3 * * *"; needs a server')
    arguments = parser.parse_args()
    values = {
        "targets": arguments.targets,
        "jobs": arguments.jobs,
        "cpu_jobs": arguments.cpu_jobs,
        "pool": arguments.pool,
    }
    has_server = PREFECT_API_URL.value() is not None
    if (arguments.cron or arguments.pool) and not has_server:
        parser.error(NEEDS_A_SERVER)
    if arguments.cron:
        reproduce.serve(name="scheduled", cron=arguments.cron, limit=1, parameters=values)
    elif has_server or os.environ.get(ON_A_LEASH):
        state: State = reproduce(**values, return_state=True)
        if not state.is_completed():
            sys.exit(f"reproduce: {state.message}")
    else:
        sys.exit(on_a_leash())


def on_a_leash() -> int:
    """Runs this very command so that the temporary server ends with it, even by kill -9."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is ended before we are
    os.environ[ON_A_LEASH] = "yes"
    return run_program(sys.orig_argv, Path.cwd())


if __name__ == "__main__":
    main()
