"""Cells on other machines: the workers of a pool take them, DVC's remote carries what they need.

The head pushes a cell's inputs and hands out its name, the commit and dvc.lock. A worker runs the
cell in a workspace of its own pinned to the commit, with its own cache, and pushes the result with
DVC's run-cache; the head takes it from there by `dvc repro --pull`, which runs nothing. So all
machines need the project's git history, one DVC remote (`dvc remote add -d ...`, committed), and
the same versions (`make setup`).
"""

import hashlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast
from uuid import UUID

import httpx
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows.git import worktree
from flows.git.command import git
from flows.grid.cells import CellState, Outcome, run_cell
from flows.grid.lock_file import read_lock_file, write_lock_file
from flows.grid.plan import Cell, Graph
from flows.grid.queue import is_heavy, log_to_mlflow
from flows.processes.locks import wait_for_lock
from flows.processes.programs import (
    ProgramError,
    StoppedError,
    dvc_output,
    run_dvc,
    run_stage,
)
from stages.runtime.places import LOCKS, WORKSPACE_VARIABLE
from stages.tracking.status import file_name

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 600.0  # with a server that does not answer: it may be started again meanwhile
ATTEMPTS = 3  # of a cell whose worker dies
# What a commit has to have as it is here, for other machines to compute the same.
CODE = ("tsn", "stages", "dvc.yaml", "params.yaml", "recipes", "additions", ".dvc/config")

Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


@flow(name="cell", flow_run_name="{cell}")
def remote_cell(cell: str, commit: str, lock: str) -> None:
    """Run one cell in this worker's checkout ($TSN_WORKSPACE, or where it runs).

    Another run of the cell here, as of two heads, is waited for: both use one workspace, and what
    the first has computed the second takes from the cache.

    cell: its DVC name. commit: of the code, the parameters and the lists. lock: the dvc.lock of
    the head, which says what its inputs are.
    """
    root = Path(os.environ.get(WORKSPACE_VARIABLE, ".")).resolve()
    worktree.require_repository(root)
    name = f"cell-{file_name(cell)}"
    with wait_for_lock(root / LOCKS / name):
        tree = worktree.pin(root, name, known_commit(root, commit))
        write_lock_file(tree, lock)
        run_dvc(["repro", "--pull", "--single-item", cell], tree)
        log_to_mlflow(partial(run_stage, "operate.sync", tree))  # here it is known how it was made
        run_dvc(["push", "--quiet", "--run-cache", cell], tree)
        worktree.remove(root, tree)


def known_commit(root: Path, commit: str) -> str:
    """Return the commit, fetched if this checkout does not have it yet."""
    for fetch in (False, True):
        if fetch:
            git(root, "fetch", "--quiet", "--all")
        try:
            return git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        except ProgramError:
            continue
    raise ProgramError(f"{root}: commit {commit} is not known here; push it where this one fetches")


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where cells are sent from: the workspace, its graph and commit, and the pool of the others.

    `stop` ends what it has sent.
    """

    workspace: Path
    graph: Graph
    commit: str
    pool: str
    stop: threading.Event

    def run_cell(self, cell: Cell) -> Outcome:
        """Run a light cell here, and a heavy one elsewhere, its result taken from the remote."""
        start = time.monotonic()
        if is_heavy(cell):
            try:
                self.send(cell)
            except ProgramError as error:
                return Outcome(
                    cell=cell.name,
                    state=CellState.FAILED,
                    seconds=time.monotonic() - start,
                    attempts=1,
                    reason=str(error),
                    link="",
                )
        done = run_cell(cell, self.workspace, stop=self.stop, pull=is_heavy(cell))
        return replace(done, seconds=time.monotonic() - start)

    def send(self, cell: Cell) -> None:
        """Have a worker run a cell; its result is in the DVC remote when this returns."""
        if upstreams := self.graph[cell.name]:
            run_dvc(["push", "--quiet", "--run-cache", *upstreams], self.workspace)
        lock = read_lock_file(self.workspace)
        parameters = {"cell": cell.name, "commit": self.commit, "lock": lock}
        numbers = itertools.count(1)
        for attempt in range(1, ATTEMPTS + 1):
            run = self._hand_out(parameters, numbers)
            state = self._wait_for(run.id, cell)
            if not state.is_crashed() or attempt == ATTEMPTS:
                break  # a worker that died says nothing of the cell
        if not state.is_completed():
            raise ProgramError(f"{cell.name} on another machine: {state.name}: {state.message}")

    def _hand_out(self, parameters: Mapping[str, str], numbers: Iterator[int]) -> FlowRun:
        """Return the run of a cell with these inputs that is under way already, or else a new one.

        So a question that is asked again, or a head that was started again, has nothing computed
        twice. A run that has ended keeps its number: it is no answer to what is asked now.
        """
        lock = hashlib.sha256(parameters["lock"].encode()).hexdigest()
        for number in numbers:
            key = f"{parameters['cell']}-{parameters['commit']}-{lock}-{number}"
            run = self._ask(partial(self._send_once, parameters, key))
            if run.state is None or not (run.state.is_final() or run.state.is_cancelling()):
                return run
        raise AssertionError("numbers do not end")

    def _send_once(self, parameters: Mapping[str, str], key: str) -> FlowRun:
        run = run_deployment(
            f"cell/{self.pool}", parameters=dict(parameters), timeout=0, idempotency_key=key
        )
        return cast(FlowRun, run)

    def _wait_for(self, run: UUID, cell: Cell) -> State:
        """Return how the run on another machine ended; cancel it if this is left before."""
        state: State | None = None
        try:
            while state is None or not state.is_final():
                if state is not None and self.stop.wait(POLL_SECONDS):
                    raise StoppedError(f"stopped: {cell.name}")
                state = self._ask(partial(_state_of, run))
            return state
        finally:
            if state is None or not state.is_final():
                _cancel(run)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the server's answer, asked for again while it is silent; ProgramError at last."""
        silent_since: float | None = None
        while True:
            try:
                answer = question()
            except ObjectNotFound as error:
                raise ProgramError(
                    f"the Prefect server knows no cell/{self.pool}, or not its run any more "
                    f"({error}); `prefect deploy --all` makes it known"
                ) from None
            except httpx.HTTPError as error:
                now = time.monotonic()
                if silent_since is None:
                    silent_since = now
                    logger.warning("the Prefect server does not answer; it is asked on (%s)", error)
                if _is_refusal(error) or now - silent_since > PATIENCE_SECONDS:
                    raise ProgramError(f"the Prefect server: {error}") from None
            else:
                if silent_since is not None:
                    logger.warning("the Prefect server answers again")
                return answer
            if self.stop.wait(POLL_SECONDS):
                raise StoppedError("stopped: waiting for the Prefect server")


def _state_of(run: UUID) -> State | None:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run).state


def _cancel(run: UUID) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Cancelling())
    except Exception as error:  # why it is left early matters more
        logger.warning("run %s on another machine could not be cancelled: %s", run, error)


def _is_refusal(error: httpx.HTTPError) -> bool:
    """Return whether the server has answered, that the question is wrong: no use to go on."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500


def committed(workspace: Path) -> str:
    """Return the commit that other machines are to use; ProgramError if there are edits, too."""
    worktree.require_repository(workspace)
    if edits := git(workspace, "status", "--porcelain", "--", *CODE):
        raise ProgramError(f"other machines run what is committed; commit these first:\n{edits}")
    if not dvc_output(["config", "core.remote"], workspace).strip():
        raise ProgramError("no DVC remote: `dvc remote add -d shared <folder or URL>`")
    return git(workspace, "rev-parse", "HEAD")
