"""A study: every row of a table of studies.yaml trained and tested, beside what was published.

`tsn study consensus --dataset synthetic` runs one. Each row is the recipe of the last commit with
the row's values, in a worktree pinned to that commit, by the grid. The cache and the store are the
checkout's, so what rows have in common is computed once, and a study that was killed takes from
there what it had finished. A row that is done is a DVC experiment of that commit: `dvc exp show`
lists it, and `dvc exp apply` brings it into the checkout.

Not by `dvc exp run --queue`: its copies of the project have no grid, no Prefect and no store in
them, and a killed queue begins a row again.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.git import worktree
from flows.git.command import git
from flows.grid.prefect_ui import CancelledError, key_of, show, told_in_log
from flows.grid.remote import CODE
from flows.processes.locks import lock_or_refuse
from flows.processes.programs import ProgramError, dvc_output, run_stage
from flows.reproduce import EXPECTED, run_in_task, show_grid
from stages.operate.log_study import log_study
from stages.operate.new import write_yaml
from stages.operate.studies import Plan, Run, make_plan
from stages.reporting import study_page
from stages.reporting.study_result import Found, StudyResult, read_found
from stages.reporting.study_speed import Speed, read_speed
from stages.runtime import params
from stages.runtime.places import DVC_LOCK, LOCKS, SPEED, STUDY_REPORTS, STUDY_TREE, DatasetPaths
from stages.tracking import store

logger = logging.getLogger(__name__)


@flow(name="study", flow_run_name="{name}-{dataset}")
def study(
    name: str,
    dataset: str,
    rows: Sequence[str] = (),
    splits: Sequence[int] = (),
    seeds: Sequence[int] = (),
    small: bool = False,
    workspace: Path = Path(),
    jobs: int | None = None,
) -> State:
    """Run a study of studies.yaml on a dataset, and write its table as it comes.

    rows: only these. splits: by default those of the published numbers. seeds: of training, by
    default the recipe's. small: use the file's small setting of the dataset. jobs: training runs
    at once.
    """
    root = workspace.resolve()
    os.environ["MLFLOW_TRACKING_URI"] = store.tracking_uri(root)
    try:
        worktree.require_repository(root)
        plan = make_plan(
            name, dataset, rows=rows, splits=splits, seeds=seeds, small=small, root=root
        )
        tree_name = f"{STUDY_TREE}{name}-{dataset}"
        busy = f"another run of study {name} is active"
        with lock_or_refuse(root / LOCKS / tree_name, busy), told_in_log():
            result = run_rows(plan, root, tree_name, jobs=jobs)
            folder = root / STUDY_REPORTS / name
            run_in_task("log", "log the study to MLflow", partial(log_study, result, folder))
    except CancelledError as error:
        return Cancelled(message=str(error))
    except EXPECTED as error:
        return Failed(message=str(error))
    if result.failed:
        return Failed(message="; ".join(f"{row}: {why}" for row, why in result.failed.items()))
    return Completed(message=result.verdict)


def run_rows(plan: Plan, root: Path, tree_name: str, *, jobs: int | None) -> StudyResult:
    """Run every row; write the table after each. A row that fails leaves the others to go on."""
    commit = git(root, "rev-parse", "HEAD")
    tree = worktree.pin(root, tree_name, commit)
    runs, refused = plan.runs(tree)
    for row, why in refused.items():
        logger.warning("row %s cannot be run: %s", row, why)
    if edits := git(root, "status", "--porcelain", "--", *CODE):
        logger.warning("these edits are not committed, so the study goes without them:\n%s", edits)
    worktree.restore(root, tree)
    found: list[Found] = []
    failed: dict[str, str] = {}
    for run in runs:
        try:
            found.append(run_row(plan, run, root, tree_name, commit, jobs=jobs))
            if plan.study.speed:
                measure = partial(measure_speed, plan, run, root, tree)
                speed = run_in_task("speed", f"frames/s of {run.name}", measure)
                found[-1] = replace(found[-1], speed=speed)
        except CancelledError:
            raise
        except EXPECTED as error:
            failed[run.name] = str(error)
            logger.warning("row %s failed: %s", run.name, error)
        result = StudyResult(plan=plan, commit=commit, found=found, failed=failed, refused=refused)
        if found:
            study_page.write(result, root / STUDY_REPORTS / plan.name)
            show("\n".join(study_page.markdown(result)), key_of("study", plan.name))
    if not found:
        raise ProgramError("no row has a result. " + "\n".join(failed.values()))
    return result


def run_row(
    plan: Plan, run: Run, root: Path, tree_name: str, commit: str, *, jobs: int | None
) -> Found:
    """Run one row's grid in the worktree, save it as a DVC experiment; return what came of it."""
    tree = worktree.pin(root, tree_name, commit)
    write_yaml(tree / params.recipe_path(plan.dataset), run.recipe, "")
    write_yaml(tree / params.PARAMS, run.params, "")
    show_grid(tree, [], jobs=jobs)  # all of it: `dvc exp apply` wants every output of dvc.yaml
    paths = DatasetPaths(plan.dataset)
    found = read_found(run, plan, tree)
    untracked = [DVC_LOCK, *map(paths.split_metrics, plan.splits), paths.mean]
    include = [word for path in untracked for word in ("--include-untracked", str(path))]
    fused = [f"fuse@{plan.dataset}-{split}" for split in plan.splits]  # all else is in the cache
    name = f"{plan.name}-{plan.setting_name}-{run.name}"
    dvc_output(["exp", "save", "--force", "--name", name, *include, *fused], tree)
    return found


def measure_speed(plan: Plan, run: Run, root: Path, tree: Path) -> Speed:
    """Return the frames/s of the row that was run last in a worktree.

    What was measured before of equal networks, code and machine is kept, so a study that was killed
    comes to the same table.
    """
    path = root / SPEED / f"{plan.name}-{plan.file_name}-{run.name}.json"
    words = {"--dataset": plan.dataset, "--split": str(plan.splits[0]), "--out": str(path)}
    try:
        run_stage("operate.speed", tree, [word for pair in words.items() for word in pair])
        return read_speed(path)
    except CancelledError:
        raise
    except EXPECTED as error:
        raise ProgramError(f"its frames/s were not measured: {error}") from error
