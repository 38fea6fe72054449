"""Retraining: new labelled clips in, a challenger trained, and promoted if it is better.

`python -m flows.retrain --dataset mine` does it once; `--cron "0 3 * * *"` stays and does it every
night. One run:

1. takes in what is good of the recipe's inbox (`stages/operate/ingest.py`) and commits it;
2. ends, if a retraining with these clips has come to its end before (with `--force` it goes on,
   as after a change of the recipe or the code);
3. runs the grid in a worktree pinned to the commit, so that nothing edited meanwhile gets in;
4. compares the challenger with the champion on the same test list (`stages/operate/compare.py`) and
   promotes it by the recipe's rule; `python -m stages.operate.promote --roll-back` takes that back.

A run that was killed anywhere is repeated by the next: what is finished is not computed again, and
nothing is decided twice.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.git import data_commits, worktree
from flows.grid.cells import LOGS, reason
from flows.grid.remote import CODE
from flows.processes.locks import one_after_another
from flows.processes.programs import ProgramError, run_dvc, run_program, run_stage
from flows.processes.start import start
from flows.reproduce import CancelledError, key_of, show_grid
from stages.runtime import params
from stages.tracking import runs as tracking

REPORTS = Path(".tsn/retrain")  # what the last retraining of a dataset said
INTAKE, PENDING = "intake.txt", "pending"
LOCK = REPORTS / "lock"
logger = logging.getLogger(__name__)
T = TypeVar("T")
EXPECTED = (ProgramError, ValueError, OSError)


@dataclass(frozen=True)
class Occasion:
    """What to retrain with: a commit, and what stands for the clips it has (`data_state`)."""

    commit: str
    data: str


def gather(dataset: str, root: Path, *, follow: bool) -> Occasion:
    """Takes in new clips, of the inbox and, with `follow`, of the upstream branch, as commits."""
    worktree.require_repository(root)
    if follow:
        data_commits.pull(root)
    tree = prepare(dataset, root, worktree.git(root, "rev-parse", "HEAD"))
    refuse_uncommitted(dataset, root, tree)
    run_stage("check", tree)
    if follow:
        data_commits.fetch(tree, dataset)
    run_dvc(["repro", "--quiet", f"split@{dataset}"], tree)  # what the dataset is so far
    reports = root / REPORTS / dataset
    pending = reports / PENDING
    paths = ["--root", str(root), "--out", str(pending), "--report", str(reports / INTAKE)]
    say_stage("take_in", tree, ["--dataset", dataset, *paths])
    data_commits.absorb(root, tree, dataset, pending)
    commit = worktree.git(root, "rev-parse", "HEAD")
    return Occasion(commit, data_commits.data_state(root, dataset, commit))


def refuse_uncommitted(dataset: str, root: Path, tree: Path) -> None:
    """ProgramError unless the commit has the dataset; a warning where the desk has something else.

    It is the commit that is run, whatever was edited since.
    """
    active = params.section(params.load(tree / params.PARAMS), "datasets", tuple[str, ...])
    if dataset not in active:
        raise ProgramError(
            f"datasets of the last commit's params.yaml are {', '.join(active)}: add {dataset} "
            "there and commit it; retraining runs what is committed"
        )
    if edits := worktree.git(root, "status", "--porcelain", "--", *CODE):
        logger.warning("these edits are not committed, so retraining goes without them:\n%s", edits)


def prepare(dataset: str, root: Path, commit: str) -> Path:
    """A workspace pinned to the commit, with what the cache has of its results."""
    tree = worktree.pin(root, f"retrain-{dataset}", commit)
    worktree.restore(root, tree)
    return tree


def is_settled(dataset: str, occasion: Occasion) -> bool:
    """Whether a retraining with this data has come to its end before."""
    return tracking.is_logged(dataset, {"stage": "retrain", "data": occasion.data}, "retrain")


def judge(dataset: str, root: Path, tree: Path, occasion: Occasion) -> Path:
    """Compares, and promotes by the recipe's rule; returns the folder that tells the story."""
    out = root / REPORTS / dataset
    arguments = ["--dataset", dataset, "--recogniser", f"recognisers/{dataset}"]
    arguments += ["--videos", f"data/{dataset}/videos", "--out", str(out)]
    say_stage("compare", tree, [*arguments, "--decide-for", occasion.data])
    return out


def say_stage(name: str, tree: Path, arguments: Sequence[str]) -> None:
    """Runs a stage, and says what it printed; ProgramError with its last words when it fails."""
    log = tree / LOGS / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        code = run_program(
            [sys.executable, "-m", f"stages.{name}", *arguments], tree, output=output
        )
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    if code != 0:
        raise ProgramError(reason(text) or f"stages.{name} exited with {code}")
    print(text, flush=True)


def require(answer: T | State) -> T:
    """What a task returned; ProgramError with the message of a state that it ended in instead."""
    if isinstance(answer, State):
        raise ProgramError(answer.message or "it failed")
    return answer


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="take in new clips")
def gather_task(dataset: str, root: Path, follow: bool) -> Occasion | State:
    """New clips, as commits."""
    try:
        occasion = gather(dataset, root, follow=follow)
    except EXPECTED as error:
        return Failed(message=str(error))
    report = (root / REPORTS / dataset / INTAKE).read_text(encoding="utf-8")
    create_markdown_artifact(f"```\n{report}```", key=key_of("new-clips", dataset))
    return occasion


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="compare with the champion")
def judge_task(dataset: str, root: Path, tree: Path, occasion: Occasion) -> str | State:
    """The comparison, and what follows from it; its headline."""
    try:
        story = judge(dataset, root, tree, occasion) / "comparison.md"
    except EXPECTED as error:
        return Failed(message=str(error))
    text = story.read_text(encoding="utf-8")
    create_markdown_artifact(text, key=key_of("retraining", dataset))
    return text.splitlines()[0].lstrip("# ")


@flow(name="retrain", flow_run_name="{dataset}")
def retrain(
    dataset: str,
    workspace: Path = Path(),
    follow: bool = False,
    force: bool = False,
    jobs: int | None = None,
    pool: str | None = None,
) -> State:
    """Takes in new clips, trains a challenger with them, and promotes it if it is better.

    dataset: a recipe of params.yaml. workspace: the checkout. follow: also take the commits of the
    upstream branch (`git pull --rebase`), and push that of the new clips. force: retrain even if
    no clips are new. jobs: trainings at once. pool: a work pool whose workers run them.
    """
    root = workspace.resolve()
    os.environ["MLFLOW_TRACKING_URI"] = worktree.tracking_uri(root)
    try:
        with one_after_another(root / LOCK):  # schedules of several datasets may meet
            occasion = require(gather_task(dataset, root, follow))
            if follow or pool is not None:
                data_commits.publish(root)
            if is_settled(dataset, occasion) and not force:
                return Completed(message="nothing new: no clips since the last retraining")
            tree = prepare(dataset, root, occasion.commit)
            show_grid(tree, [f"package@{dataset}", f"report@{dataset}"], jobs=jobs, pool=pool)
            return Completed(message=require(judge_task(dataset, root, tree, occasion)))
    except CancelledError as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:  # it says all, without a traceback
        return Failed(message=str(error))


def main() -> None:
    """Once, or on a schedule."""
    parser = argparse.ArgumentParser(
        prog="retrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument(
        "--follow", action="store_true", help="take the upstream branch's commits, and push ours"
    )
    parser.add_argument("--force", action="store_true", help="also if no clips are new")
    parser.add_argument("--jobs", type=int, help="trainings at once, as for flows.reproduce")
    parser.add_argument("--pool", help="a work pool whose workers run the trainings")
    parser.add_argument("--cron", help='schedule, e.g. "0 3 * * *"; needs a server')
    arguments = parser.parse_args()
    names = ("dataset", "follow", "force", "jobs", "pool")
    values = {name: getattr(arguments, name) for name in names}
    start(parser, retrain, values, name=arguments.dataset, cron=arguments.cron)


if __name__ == "__main__":
    main()
