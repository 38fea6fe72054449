"""What Prefect's UI shows of a flow run, beside its tasks: its name, its log, a few artifacts.

Nothing here decides anything: a server that does not answer is told once per outage, and the work
goes on. What is shown of a grid is a table of its cells, those that wait among them, and how far
all of it is.
"""

import contextvars
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

from flows.git.command import git
from flows.grid.cells import CellState, Outcome
from flows.grid.display import describe, read_progress
from flows.grid.queue import GridState
from flows.grid.recorded import accuracy_of
from flows.grid.remote import CODE
from flows.processes.programs import ProgramError
from stages.runtime import params
from stages.tracking.status import read_status

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_BETWEEN_TABLES = 10.0
CLOSING_SECONDS = 20.0
OURS = ("flows", "stages", "tsn")  # the loggers whose words are shown in a run's log, too
logger = logging.getLogger(__name__)
# Prefect's own settings send what is below `prefect.extra` to the run's log, and nowhere else.
run_log = logging.getLogger("prefect.extra.tsn")


class CancelledError(ProgramError):
    """The flow run was cancelled in the UI."""


# -- names ------------------------------------------------------------------------------------


def name_of_retraining() -> str:
    """Return the name of a flow run that retrains: the dataset and the commit it begins with."""
    given = flow_run.parameters
    return f"{given['dataset']}{_at_commit(Path(given['workspace']))}"


def name_of_grid() -> str:
    """Return the name of a flow run of the grid: what it brings up to date, and of which commit."""
    given = flow_run.parameters
    workspace = Path(given["workspace"])
    what = list(given["targets"])
    if not what:
        with suppress(ValueError, OSError):
            what = list(params.active_datasets(params.load(workspace / params.PARAMS)))
    with suppress(ProgramError):
        if git(workspace, "status", "--porcelain", "--", *CODE):
            return f"{', '.join(what)}{_at_commit(workspace)}, edited"
    return f"{', '.join(what)}{_at_commit(workspace)}"


def _at_commit(workspace: Path) -> str:
    """Return ` at <commit>`, or in which folder where there is none."""
    try:
        return f" at {git(workspace, 'rev-parse', '--short', 'HEAD')}"
    except ProgramError:
        return f" in {workspace.resolve().name}"


def key_of(kind: str, name: str) -> str:
    """Return an artifact's key as Prefect takes it: lower case, digits and dashes."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"


# -- the log ----------------------------------------------------------------------------------


@contextmanager
def told_in_log() -> Iterator[None]:
    """Have what this project's loggers say shown in the log of this flow run, too."""
    handler, run = APILogHandler(level=logging.INFO), str(flow_run.id)

    def of_this_run(record: logging.LogRecord) -> bool:
        record.flow_run_id = run
        return True

    handler.addFilter(of_this_run)
    for name in OURS:
        logging.getLogger(name).addHandler(handler)
    tasks = logging.getLogger("prefect.task_runs")
    level = tasks.level
    tasks.setLevel(logging.WARNING)  # below it, a line for each that is well
    try:
        yield
    finally:
        tasks.setLevel(level)
        for name in OURS:
            logging.getLogger(name).removeHandler(handler)


def tell(text: str, *, bad: bool = False) -> None:
    """Write a text into the log of this flow run, and nowhere else."""
    run_log.log(logging.ERROR if bad else logging.INFO, "%s", text.strip())


def show(text: str, key: str) -> None:
    """Show a text among the artifacts; that of a server which does not answer is only missed."""
    try:
        create_markdown_artifact(text, key=key)
    except Exception as error:  # whatever it is, it does not decide
        logger.warning("Prefect is not reachable: the work goes on without (%s)", error)


# -- the grid ---------------------------------------------------------------------------------


class GridPage:
    """Shows every state it is called with in Prefect's UI; CancelledError if cancelled there.

    On a thread of its own: a server that does not answer must not keep a cell waiting. name: of the
    two artifacts, a table and a progress, each new for every run.
    """

    def __init__(self, workspace: Path, name: str) -> None:
        self._workspace = workspace
        self._flow_run = UUID(flow_run.id)
        self._state: GridState | None = None  # until it is known what there is to do
        self._name = name
        self._bar: UUID | None = None
        self._table: UUID | None = None
        self._shown: list[dict[str, str]] = []
        self._drawn = 0.0
        self._begun = False
        self._logged = 0
        self._accuracies: dict[str, str] = {}
        self._answers = True
        self._cancelled = threading.Event()
        self._closed = threading.Event()
        context = contextvars.copy_context()  # by which artifacts know their flow run
        self._thread = threading.Thread(target=context.run, args=(self._follow,), daemon=True)
        self._thread.start()

    def __call__(self, state: GridState) -> None:
        self._state = state
        if self._cancelled.is_set():
            raise CancelledError("cancelled in the UI; no process of it is left")

    def close(self) -> None:
        """Show how everything ended; wait for the server, but not for long."""
        self._closed.set()
        self._thread.join(CLOSING_SECONDS)

    def _follow(self) -> None:
        while not self._closed.wait(SECONDS_BETWEEN_LOOKS):
            self._try(self._look)
        self._try(self._look)

    def _try(self, look: Callable[[], None]) -> None:
        """Look and show, or say once per outage that the server cannot be reached."""
        try:
            look()
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
        if (state := self._state) is None:
            return
        self._log(state)
        self._show_progress(state)
        if self._closed.is_set() or time.monotonic() - self._drawn > SECONDS_BETWEEN_TABLES:
            self._show_table(state)

    def _log(self, state: GridState) -> None:
        if not self._begun:
            self._begun = True
            tell(f"cells that are not up to date: {state.total or 'none'}")
        for outcome in state.outcomes[self._logged :]:
            self._logged += 1
            line = f"[{self._logged} of {state.total}] {describe(outcome)}"
            tell(line, bad=outcome.state is CellState.FAILED)

    def _show_progress(self, state: GridState) -> None:
        percent, text = self._percent(state), summary(state)
        if self._bar is None:
            key = key_of("progress", self._name)
            self._bar = cast(UUID, create_progress_artifact(percent, key=key, description=text))
        else:
            update_progress_artifact(self._bar, percent, description=text)

    def _percent(self, state: GridState) -> float:
        """Return how much is done; a training that runs counts by its iterations."""
        if not state.total:
            return 100.0
        done = float(sum(outcome.good for outcome in state.outcomes))
        for cell in state.running:
            if progress := read_progress(read_status(self._workspace, cell)):
                done += progress.done / progress.total
        return 100 * done / state.total

    def _show_table(self, state: GridState) -> None:
        rows = self._rows(state)
        if not rows or rows == self._shown:
            return
        if self._table is None:
            key, text = key_of("grid", self._name), "The cells that were not up to date"
            self._table = cast(UUID, create_table_artifact(rows, key=key, description=text))
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._table, ArtifactUpdate(data=json.dumps(rows)))
        self._shown, self._drawn = rows, time.monotonic()

    def _rows(self, state: GridState) -> list[dict[str, str]]:
        ended = "not run" if self._closed.is_set() else "waiting"
        return [
            *(self._ended_row(outcome) for outcome in state.outcomes),
            *(self._row(cell, "running") for cell in state.running),
            *(self._row(cell, ended) for cell in state.queued),
        ]

    def _ended_row(self, outcome: Outcome) -> dict[str, str]:
        cell = outcome.cell
        if outcome.good and not self._accuracies.get(cell):  # dvc.lock may be met half written
            self._accuracies[cell] = accuracy_of(self._workspace, cell)
        attempts = f", {outcome.attempts} attempts" if outcome.attempts > 1 else ""
        return self._row(
            cell,
            str(outcome.state),
            accuracy=self._accuracies.get(cell, ""),
            time=f"{outcome.seconds:.1f} s{attempts}",
            note=outcome.reason,
            link=outcome.link,
        )

    def _row(
        self,
        cell: str,
        state: str,
        *,
        accuracy: str = "",
        time: str = "",
        note: str = "",
        link: str = "",
    ) -> dict[str, str]:
        status = read_status(self._workspace, cell) if state != "waiting" else {}
        if state == "running" and (progress := read_progress(status)):
            note = f"{progress.done} of {progress.total} iterations"
        link = link or str(status.get("link", ""))  # a run may be logged after its cell has ended
        mlflow = f"[run]({link})" if link else ""
        row = {"cell": cell, "state": state, "accuracy": accuracy, "MLflow": mlflow}
        return {**row, "time": time, "note": note}


def summary(state: GridState) -> str:
    """Return in a line what has ended, runs and waits."""
    if not state.total:
        return "everything is up to date"
    parts = {"running": state.running, "waiting": state.queued}
    bad = sum(not outcome.good for outcome in state.outcomes)
    told = [f"{len(state.outcomes) - bad} of {state.total} cells done"]
    told += [f"{bad} without a result"] if bad else []
    return ", ".join(told + [f"{len(cells)} {how}" for how, cells in parts.items() if cells])
