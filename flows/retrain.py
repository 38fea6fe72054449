"""Retraining: new labelled clips in, a challenger trained, and promoted if it is better.

`tsn retrain mine` does it once; prefect.yaml has its schedule. One run:

1. ingests what is good of the recipe's inbox (`stages/operate/ingest.py`) and commits it;
2. ends, if a retraining with these clips has come to its end before (with `--force` it goes on,
   as after a change of the recipe or the code);
3. runs the grid in a worktree pinned to the commit, so that nothing edited meanwhile gets in;
4. compares the challenger with the champion on the same test list (`stages/operate/compare.py`) and
   promotes it by the recipe's rule; `tsn promote mine --roll-back` takes that back.

A run that was killed anywhere is repeated by the next: what is finished is not computed again, and
nothing is decided twice.
"""

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.git import data_commits, worktree
from flows.git.command import git
from flows.grid.remote import CODE
from flows.processes.locks import wait_for_lock
from flows.processes.programs import ProgramError, run_dvc, run_stage
from flows.reproduce import EXPECTED, CancelledError, key_of, run_in_task, show_grid
from stages.runtime import params
from stages.runtime.places import RETRAIN, RETRAIN_LOCK
from stages.tracking import runs, store

logger = logging.getLogger(__name__)


@flow(name="retrain", flow_run_name="{dataset}")
def retrain(
    dataset: str,
    workspace: Path = Path(),
    follow: bool = False,
    force: bool = False,
    jobs: int | None = None,
    pool: str | None = None,
) -> State:
    """Take in new clips, train a challenger with them, and promote it if it is better.

    dataset: one of params.yaml. workspace: the checkout. follow: also take the commits of the
    upstream branch, with ours after them, and push that of the new clips. force: retrain even if
    no clips are new. jobs: training runs at once. pool: a work pool whose workers run them.
    """
    root = workspace.resolve()
    os.environ["MLFLOW_TRACKING_URI"] = store.tracking_uri(root)
    try:
        with wait_for_lock(root / RETRAIN_LOCK):  # schedules of several datasets may meet
            ingest_now = partial(ingest, dataset, root, follow=follow)
            inputs = run_in_task("ingest", "take in new clips", ingest_now)
            if follow or pool is not None:
                data_commits.publish(root)
            if is_already_done(dataset, inputs) and not force:
                return Completed(message="nothing new: no clips since the last retraining")
            tree = prepare(dataset, root, inputs.commit)
            show_grid(tree, [f"package@{dataset}", f"report@{dataset}"], jobs=jobs, pool=pool)
            compare_now = partial(compare, dataset, root, tree, inputs)
            headline = run_in_task("compare", "compare with the champion", compare_now)
            return Completed(message=headline)
    except CancelledError as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:
        return Failed(message=str(error))


@dataclass(frozen=True)
class RetrainingInputs:
    """What to retrain with: a commit, and what stands for the clips it has (`data_state`)."""

    commit: str
    data: str


def ingest(dataset: str, root: Path, *, follow: bool) -> RetrainingInputs:
    """Take in new clips, of the inbox and, with `follow`, of the upstream branch, as commits."""
    worktree.require_repository(root)
    if follow:
        data_commits.pull(root, f"retrain-{dataset}")
    tree = prepare(dataset, root, git(root, "rev-parse", "HEAD"))
    refuse_uncommitted(dataset, root, tree)
    if follow:
        data_commits.fetch(tree, dataset)
    run_dvc(["repro", "--quiet", f"split@{dataset}"], tree)  # what the dataset is so far
    folder = root / RETRAIN / dataset
    pending, report = folder / "pending", folder / "ingest.txt"
    paths = ["--root", str(root), "--out", str(pending), "--report", str(report)]
    run_stage("operate.ingest", tree, ["--dataset", dataset, *paths])
    show(f"```\n{report.read_text(encoding='utf-8')}```", key_of("new-clips", dataset))
    data_commits.commit_clips(root, tree, dataset, pending)
    commit = git(root, "rev-parse", "HEAD")
    return RetrainingInputs(commit, data_commits.data_state(root, dataset, commit))


def prepare(dataset: str, root: Path, commit: str) -> Path:
    """Return a workspace pinned to the commit, with what the cache has of its results."""
    tree = worktree.pin(root, f"retrain-{dataset}", commit)
    worktree.restore(root, tree)
    return tree


def refuse_uncommitted(dataset: str, root: Path, tree: Path) -> None:
    """Raise ProgramError unless the commit has the dataset; warn of edits that are not committed.

    It is the commit that is run, whatever was edited since.
    """
    active = params.active_datasets(params.load(tree / params.PARAMS))
    if dataset not in active:
        raise ProgramError(
            f"datasets of the last commit's params.yaml are {', '.join(active)}: add {dataset} "
            "there and commit it; retraining runs what is committed"
        )
    if edits := git(root, "status", "--porcelain", "--", *CODE):
        logger.warning("these edits are not committed, so retraining goes without them:\n%s", edits)


def is_already_done(dataset: str, inputs: RetrainingInputs) -> bool:
    """Return whether a retraining with these clips has come to its end before."""
    return runs.is_logged(dataset, {"stage": "retrain", "data": inputs.data}, "retrain")


def compare(dataset: str, root: Path, tree: Path, inputs: RetrainingInputs) -> str:
    """Compare with the champion, and promote by the recipe's rule; return the headline."""
    out = root / RETRAIN / dataset
    arguments = ["--dataset", dataset, "--recogniser", f"recognisers/{dataset}"]
    arguments += ["--videos", f"data/{dataset}/videos", "--out", str(out)]
    run_stage("operate.compare", tree, [*arguments, "--decide-for", inputs.data])
    text = (out / "comparison.md").read_text(encoding="utf-8")
    show(text, key_of("retraining", dataset))
    return text.splitlines()[0].lstrip("# ")


def show(text: str, key: str) -> None:
    """Show a text in Prefect's UI; that of a server which does not answer is only missed."""
    try:
        create_markdown_artifact(text, key=key)
    except Exception as error:  # whatever it is, it does not decide
        logger.warning("Prefect is not reachable: the retraining goes on without (%s)", error)
