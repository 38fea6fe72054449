"""Retraining: new labelled clips in, a challenger trained, and promoted if it is better.

`python -m flows.retrain --dataset mine` does it once; `--cron "0 3 * * *"` stays and does it every
night. One run:

1. takes in what is good of the recipe's inbox (`stages/take_in.py`) and commits it;
2. ends, if the dataset is what it was when a retraining last came to its end;
3. runs the grid in a worktree pinned to the commit, so that nothing edited meanwhile gets in;
4. compares the challenger with the champion on the same test list (`stages/compare.py`) and
   promotes it by the recipe's rule; `python -m stages.promote --roll-back` takes that back.

A run that was killed anywhere is repeated by the next: what is finished is not computed again, and
nothing is decided twice.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL

from flows import data_commits, worktree
from flows.programs import ProgramError, run_dvc, run_stage
from stages import tracking

STORY = Path("comparison.md")


@dataclass(frozen=True)
class Occasion:
    """Why to retrain: the commit whose data is new, and the digest of that data."""

    commit: str
    data: str


def gather(dataset: str, root: Path, *, follow: bool) -> Occasion:
    """Takes in new clips, here and, with `follow`, from the upstream branch, as commits."""
    worktree.require_repository(root)
    run_stage("check", root)
    if follow:
        data_commits.pull(root, dataset)
    run_stage("take_in", root, ["--dataset", dataset])
    data_commits.commit_additions(root, dataset)
    commit = worktree.git(root, "rev-parse", "HEAD")
    return Occasion(commit, data_commits.data_state(root, dataset, commit))


def is_settled(dataset: str, occasion: Occasion) -> bool:
    """Whether a retraining with this data has come to its end before."""
    return tracking.is_logged(dataset, {"stage": "retrain", "data": occasion.data}, "retrain")
