"""Retraining: new labelled clips in, a challenger trained, and promoted if it is better.

`tsn retrain mine` does it once; prefect.yaml has its schedule. One run:

1. ingests what is good of the recipe's inbox (`stages/operate/ingest.py`) and commits it;
2. ends, if neither the clips nor the recipe have changed since a recogniser was made of them
   (with `--force` it goes on, as after a change of the code);
3. runs the grid in a worktree pinned to the commit, so that nothing edited meanwhile gets in;
4. compares the challenger with the champion on the same videos (`stages/operate/compare.py`) and
   promotes it by the recipe's rule; `tsn promote mine --roll-back` takes that back.

A run that was killed anywhere is repeated by the next: what is finished is not computed again, and
nothing is decided twice. Prefect's UI has the report of each run in an artifact, and in its log.
"""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.git import data_commits, worktree
from flows.git.command import git
from flows.grid.plan import read_graph
from flows.grid.prefect_ui import (
    CancelledError,
    key_of,
    name_of_retraining,
    show,
    tell,
    told_in_log,
)
from flows.grid.recorded import inputs_digest, is_made
from flows.grid.remote import CODE
from flows.processes.locks import wait_for_lock
from flows.processes.programs import ProgramError, run_dvc, run_stage
from flows.reproduce import EXPECTED, run_in_task, show_grid
from stages.reporting.comparison_page import MARKDOWN
from stages.runtime import params
from stages.runtime.places import RECOGNISERS, RETRAIN, RETRAIN_LOCK, DatasetPaths
from stages.tracking import registry, runs, store
from stages.tracking.registry import CHAMPION, Version
from tsn.recogniser.card import CARD, RecogniserError
from tsn.recogniser.folder import load_recogniser_card

logger = logging.getLogger(__name__)
UNCHANGED = "nothing new: neither the clips nor the recipe have changed since"


@flow(name="retrain", flow_run_name=name_of_retraining)
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
    neither clips nor recipe are new. jobs: training runs at once. pool: a work pool whose workers
    run them.
    """
    root, report = workspace.resolve(), RetrainingReport()
    os.environ["MLFLOW_TRACKING_URI"] = store.tracking_uri(root)
    try:
        # The lock, as schedules of several datasets may meet.
        with told_in_log(), wait_for_lock(root / RETRAIN_LOCK):
            ingest_now = partial(ingest, dataset, root, report, follow=follow)
            inputs = run_in_task("ingest", "take in new clips", ingest_now)
            if follow or pool is not None:
                data_commits.publish(root)
            message = "" if force else nothing_new(dataset, root, inputs)
            if not message:
                targets = [f"package@{dataset}", f"report@{dataset}"]
                done = show_grid(inputs.tree, targets, name=dataset, jobs=jobs, pool=pool)
                report.add("Training and tests", done)
                compare_now = partial(compare_with_champion, dataset, root, report, inputs)
                message = run_in_task("compare", "compare with the champion", compare_now)
        state: State = Completed(message=message)
    except CancelledError as error:
        state = Cancelled(message=str(error))
    except EXPECTED as error:
        state = Failed(message=str(error))
    report.end(state, key_of("retraining", dataset))
    return state


@dataclass
class RetrainingReport:
    """What a retraining has done so far, in sections of Markdown; every one is logged, too."""

    sections: list[str] = field(default_factory=list)

    def add(self, heading: str, text: str) -> None:
        """Add a section."""
        tell(f"{heading}\n{text}")
        self.sections.append(f"## {heading}\n\n{text.strip()}\n")

    def add_lines(self, heading: str, text: str) -> None:
        """Add a section of lines that are shown as they are."""
        plain = text.replace("`", "'")  # or the name of a clip could end what is shown as it is
        lines = [f"- `{line.strip()}`" for line in plain.splitlines()]
        tell(f"{heading}\n{text}")
        self.sections.append("\n".join([f"## {heading}\n", *lines, ""]))

    def end(self, state: State, key: str) -> None:
        """Show all of it under the message of the run's end."""
        message = state.message or ""
        tell(message, bad=state.is_failed())
        title = message if state.is_completed() else f"{state.name}: {message}"
        show("\n".join([f"# {title}\n", *self.sections]), key)


@dataclass(frozen=True, kw_only=True)
class RetrainingInputs:
    """What to retrain with: a commit, a workspace at it, and a digest of its clips and recipe."""

    commit: str
    tree: Path
    digest: str


def ingest(dataset: str, root: Path, report: RetrainingReport, *, follow: bool) -> RetrainingInputs:
    """Take in new clips, of the inbox and, with `follow`, of the upstream branch, as commits."""
    worktree.require_repository(root)
    if follow:
        data_commits.pull(root, f"retrain-{dataset}")
    before = git(root, "rev-parse", "HEAD")
    tree = prepare(dataset, root, before)
    refuse_uncommitted(dataset, root, tree)
    if follow:
        data_commits.fetch(tree, dataset)
    make_lists = ["repro", "--quiet", f"split@{dataset}"]
    run_dvc(make_lists, tree)  # what the dataset is so far
    folder = root / RETRAIN / dataset
    pending, ingested = folder / "pending", folder / "ingest.txt"
    paths = ["--root", str(root), "--out", str(pending), "--report", str(ingested)]
    run_stage("operate.ingest", tree, ["--dataset", dataset, *paths])
    report.add_lines("New clips", ingested.read_text(encoding="utf-8"))
    data_commits.commit_clips(root, tree, dataset, pending)
    commit = git(root, "rev-parse", "HEAD")
    if commit != before:
        tree = prepare(dataset, root, commit)
        run_dvc(make_lists, tree)
    return RetrainingInputs(commit=commit, tree=tree, digest=inputs_digest(tree, dataset))


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


def nothing_new(dataset: str, root: Path, inputs: RetrainingInputs) -> str:
    """Return why there is nothing to do; empty when there is.

    A retraining with these clips and this recipe has come to its end before; or, before the first,
    a registered recogniser was made of them that is the champion, or nobody is.
    """
    key = {"stage": "retrain", "data": inputs.digest}
    if runs.is_logged(dataset, key, "retrain"):
        before = runs.find_runs(dataset, key)[0].tags
        return f"{UNCHANGED} version {before['challenger']} was {before['verdict']}"
    made, champion = made_before(dataset, root, inputs.tree), registry.find(dataset, CHAMPION)
    if made is not None and champion is None:
        return (
            f"{UNCHANGED} version {made.number} was made. There is no champion: `tsn promote "
            f"{dataset} --version {made.number}` makes it the champion"
        )
    if made is not None and champion is not None and made.number == champion.number:
        return f"{UNCHANGED} version {made.number} was made, the champion"
    return ""


def made_before(dataset: str, root: Path, tree: Path) -> Version | None:
    """Return the registered recogniser of what `tree` has, if it or the checkout has made one."""
    graph = read_graph(tree)
    for workspace in (tree, root):
        folder = workspace / RECOGNISERS / dataset
        if (folder / CARD).is_file() and is_made(workspace, tree, dataset, graph):
            with suppress(RecogniserError):  # of another version of this project: it is made anew
                return registry.find_fingerprint(dataset, load_recogniser_card(folder).fingerprint)
    return None


def compare_with_champion(
    dataset: str, root: Path, report: RetrainingReport, inputs: RetrainingInputs
) -> str:
    """Compare with the champion, and promote by the recipe's rule; return the headline."""
    paths, out = DatasetPaths(dataset), root / RETRAIN / dataset
    words = ["--dataset", dataset, "--recogniser", RECOGNISERS / dataset, "--videos", paths.videos]
    words += ["--lists", paths.splits, "--out", out, "--decide-for", inputs.digest]
    run_stage("operate.compare", inputs.tree, [str(word) for word in words])
    headline, *text = (out / MARKDOWN).read_text(encoding="utf-8").splitlines()
    report.add("Challenger and champion", "\n".join(text))
    return headline.lstrip("# ")
