"""Cells on other machines: the workers of a pool take them, DVC's remote carries what they need.

The head pushes a cell's inputs and hands out its name, the commit and dvc.lock. A worker runs the
cell in a workspace of its own pinned to the commit, with its own cache, and pushes the result with
DVC's run-cache; the head takes it from there by `dvc repro --pull`, which runs nothing. So all
machines need the project's git history, one DVC remote (`dvc remote add -d ...`, committed), and
the same versions (`make setup`).
"""

import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from flows import cells, worktree
from flows.cells import Outcome, run_cell
from flows.grid import is_heavy
from flows.plan import Cell, Graph
from flows.programs import ProgramError, StoppedError, run_dvc
from stages.status import file_name

LOCK = Path("dvc.lock")
POLL_SECONDS = 2.0
ATTEMPTS = 3  # of a cell whose worker dies
# What a commit has to have as it is here, for other machines to compute the same.
CODE = ("tsn", "stages", "dvc.yaml", "params.yaml", "additions", ".dvc/config")


@flow(name="cell", flow_run_name="{cell}")
def remote_cell(cell: str, commit: str, lock: str) -> None:
    """Runs one cell in this worker's checkout ($TSN_WORKSPACE, or where it runs).

    cell: its DVC name. commit: of the code, the parameters and the lists. lock: the dvc.lock of
    the head, which says what its inputs are.
    """
    root = Path(os.environ.get("TSN_WORKSPACE", ".")).resolve()
    worktree.require_repository(root)
    tree = worktree.pin(root, f"cell-{file_name(cell)}", known_commit(root, commit))
    (tree / LOCK).write_text(lock, encoding="utf-8")
    run_dvc(["repro", "--pull", "--single-item", cell], tree)
    run_dvc(["push", "--quiet", "--run-cache", cell], tree)
    worktree.remove(root, tree)


def known_commit(root: Path, commit: str) -> str:
    """The commit, fetched if this checkout does not have it yet."""
    for fetch in (False, True):
        if fetch:
            worktree.git(root, "fetch", "--quiet", "--all")
        try:
            return worktree.git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
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
        """Runs a light cell here, and a heavy one elsewhere, its result taken from the remote."""
        start = time.monotonic()
        if is_heavy(cell):
            try:
                self.send(cell)
            except ProgramError as error:
                return Outcome(
                    cell=cell.name,
                    state=cells.State.FAILED,
                    seconds=time.monotonic() - start,
                    attempts=1,
                    reason=str(error),
                    link="",
                )
        done = run_cell(cell, self.workspace, stop=self.stop, pull=is_heavy(cell))
        return replace(done, seconds=time.monotonic() - start)

    def send(self, cell: Cell) -> None:
        """Has a worker run a cell; its result is in the DVC remote when this returns."""
        if upstreams := self.graph[cell.name]:
            run_dvc(["push", "--quiet", "--run-cache", *upstreams], self.workspace)
        lock = self.workspace / LOCK
        parameters = {
            "cell": cell.name,
            "commit": self.commit,
            "lock": lock.read_text(encoding="utf-8") if lock.is_file() else "",
        }
        for attempt in range(1, ATTEMPTS + 1):
            run = run_deployment(f"cell/{self.pool}", parameters=parameters, timeout=0)
            state = self._wait_for(run.id, cell)  # type: ignore[union-attr]
            if not state.is_crashed() or attempt == ATTEMPTS:
                break  # a worker that died says nothing of the cell
        if not state.is_completed():
            raise ProgramError(f"{cell.name} on another machine: {state.name}: {state.message}")

    def _wait_for(self, run: UUID, cell: Cell) -> State:
        """How the run on another machine ended."""
        with get_client(sync_client=True) as client:
            while True:
                state = client.read_flow_run(run).state
                if state is not None and state.is_final():
                    return state
                if self.stop.wait(POLL_SECONDS):
                    client.set_flow_run_state(run, Cancelling())
                    raise StoppedError(f"stopped: {cell.name}")


def committed(workspace: Path) -> str:
    """The commit that other machines are to use; ProgramError when there are edits beside it."""
    worktree.require_repository(workspace)
    if edits := worktree.git(workspace, "status", "--porcelain", "--", *CODE):
        raise ProgramError(f"other machines run what is committed; commit these first:\n{edits}")
    if not worktree.tell_dvc(["config", "core.remote"], workspace).strip():
        raise ProgramError("no DVC remote: `dvc remote add -d shared <folder or URL>`")
    return worktree.git(workspace, "rev-parse", "HEAD")
