"""The clips that a dataset took in, as commits: those made here, and those of other machines.

`additions/<dataset>.dvc` says which clips there are; the clips are in DVC's cache, and go to other
machines through its remote. Commits are made in a worktree (`flows/git/worktree.py`) from what the
commit before has, so nothing that lies about in the checkout gets into them.
"""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from flows.git.command import git
from flows.git.worktree import pin
from flows.processes.programs import ProgramError, dvc_output, run_dvc
from stages.runtime.places import ADDITIONS
from tsn.sources.additions import CLIPS, merge_additions

AUTHOR = ("-c", "user.name=tsn retraining", "-c", "user.email=retraining@localhost")
logger = logging.getLogger(__name__)


def pull(root: Path, name: str) -> None:
    """Take the commits of the upstream branch, and put those made here after them.

    In the workspace `name`, so what is edited in the checkout stays as it is. ProgramError, and
    nothing has changed, where the same files are edited here and changed there, and where the
    branch has moved meanwhile.
    """
    git(root, "fetch", "--quiet")
    upstream, (branch, head) = git(root, "rev-parse", "@{upstream}"), _branch(root)
    base = git(root, "merge-base", upstream, head)
    if base == upstream:
        return
    take = ("merge", "--quiet", "--ff-only", upstream)
    staged: set[str] = set()
    if base != head:
        staged, edited = (_changed(root, *options) for options in (("--cached",), ()))
        if partly := staged & edited:
            raise ProgramError(f"staged in part, commit or unstage first: {', '.join(partly)}")
        take = ("reset", "--quiet", "--keep", _rebased(root, pin(root, name, head), upstream))
        if _branch(root) != (branch, head):
            raise ProgramError("the branch has moved meanwhile; run it again")
    try:
        git(root, *take)
    except ProgramError as error:
        raise ProgramError(
            f"files that are edited here have changed upstream, too; commit or stash them: {error}"
        ) from None
    if staged:
        git(root, "add", "--all", "--", *sorted(staged))  # the reset has unstaged them


def _branch(root: Path) -> tuple[str, str]:
    """Return the branch that is checked out, and its commit."""
    return git(root, "rev-parse", "--symbolic-full-name", "HEAD"), git(root, "rev-parse", "HEAD")


def _changed(root: Path, *options: str) -> set[str]:
    """Return the files that git's diff names, relative to the project."""
    names = git(root, "diff", "--name-only", "--relative", "--no-renames", "-z", *options)
    return set(filter(None, names.split("\0")))


def _rebased(root: Path, tree: Path, upstream: str) -> str:
    """Return the commit that a worktree's own commits lead to, put after those of upstream."""
    try:
        git(tree, *_author(root), "rebase", "--quiet", upstream)
    except ProgramError:
        with suppress(ProgramError):  # it may not have begun
            git(tree, "rebase", "--abort")
        raise
    return git(tree, "rev-parse", "HEAD")


def fetch(tree: Path, dataset: str) -> None:
    """Fetch the clips of a commit that another machine has made."""
    if (tree / pointer(dataset)).is_file():
        run_dvc(["fetch", "--quiet", str(pointer(dataset))], tree)


def commit_clips(root: Path, tree: Path, dataset: str, pending: Path) -> None:
    """Make the pending clips part of the branch that is checked out in `root`, by one commit.

    `tree` is a worktree at that branch's commit. The pending folder is dropped when the commit is
    there; until then another call does what a kill left. ProgramError if the branch has moved.
    """
    if not (pending / CLIPS).is_file():
        return
    folder = tree / ADDITIONS / dataset
    if (tree / pointer(dataset)).is_file():  # exactly the clips of the commit
        dvc_output(["checkout", "--force", "--quiet", str(pointer(dataset))], tree)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if merge_additions(pending, folder):
        run_dvc(["add", "--quiet", str(ADDITIONS / dataset)], tree)
        git(tree, "add", "--", str(pointer(dataset)), str(ADDITIONS / ".gitignore"))
        git(tree, *_author(root), "commit", "--quiet", "-m", f"Data: new clips of {dataset}")
        git(root, "merge", "--ff-only", "--quiet", git(tree, "rev-parse", "HEAD"))
    shutil.rmtree(pending)
    try:
        dvc_output(["checkout", "--quiet", str(pointer(dataset))], root)
    except ProgramError as error:
        logger.warning("additions/%s is not that of the commit: %s", dataset, error)


def publish(root: Path) -> None:
    """Push the checked-out branch, if it has an upstream: other machines fetch it from there."""
    try:
        git(root, "rev-parse", "--abbrev-ref", "@{upstream}")
    except ProgramError:
        return
    git(root, "push", "--quiet")


def pointer(dataset: str) -> Path:
    """Return the file by which git knows a dataset's additions."""
    return ADDITIONS / f"{dataset}.dvc"


def _author(root: Path) -> tuple[str, ...]:
    """Return git's options for an author where nobody has told git who that is."""
    try:
        return () if git(root, "config", "user.email") else AUTHOR
    except ProgramError:
        return AUTHOR
