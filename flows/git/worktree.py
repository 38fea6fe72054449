"""A workspace of its own for one commit: a git worktree that shares the checkout's DVC cache.

What runs there cannot be spoiled by edits in the checkout, and the checkout stays free meanwhile.
Its results are in the shared cache, so `dvc repro` in the checkout takes them from there.
"""

import shutil
from pathlib import Path

from flows.git.command import git
from flows.grid.lock_file import read_lock_file, repair, write_lock_file
from flows.processes.programs import ProgramError, dvc_output, run_dvc
from stages.runtime.places import DVC_LOCAL, DVC_LOCK, INBOX, STORE, SURVEY_CACHE, TREES

PROJECT_FILE = "dvc.yaml"
SHARED = (STORE, SURVEY_CACHE, INBOX)  # what a commit does not say


def require_repository(root: Path) -> None:
    """Raise ProgramError, with git's words, unless the project `root` is part of a commit."""
    try:
        git(root, "cat-file", "-e", f"HEAD:./{PROJECT_FILE}")
    except ProgramError as error:
        raise ProgramError(
            f"{root} is no git checkout with a commit of the project; this pins what it runs to a "
            "commit: `git init`, `git add .` and `git commit` first, or clone the project. "
            f"({error})"
        ) from None


def pin(root: Path, name: str, commit: str) -> Path:
    """Return the workspace `name` of a checkout, at that commit and with the checkout's cache.

    It is kept from one time to the next, and made anew if it was left half made. DVC's outputs
    are not in it yet, or those of last time are: `restore` puts in place what the cache has. Where
    the project is a folder of a repository, it is that folder of the worktree.
    """
    tree = root / TREES / name
    if not _switch(tree, commit):
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        git(root, "worktree", "prune")
        git(root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
    workspace = tree / git(root, "rev-parse", "--show-prefix")
    if not (workspace / PROJECT_FILE).is_file():
        raise ProgramError(f"commit {commit} has no project in {workspace.relative_to(tree)}")
    for shared in SHARED:
        _share(root / shared, workspace / shared)
    _share_cache(root, workspace)
    return workspace


def _switch(tree: Path, commit: str) -> bool:
    """Put the commit into a worktree; return False if it is none, or a kill left it half done."""
    try:
        top = git(tree, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != tree.resolve():
            return False  # git in any other folder means the checkout around it
        git(tree, "checkout", "--quiet", "--force", "--detach", commit)
    except ProgramError:
        return False
    return True


def restore(root: Path, tree: Path) -> None:
    """Put in place what the cache has of the checkout's results; the rest is computed there."""
    if not (tree / DVC_LOCK).exists():  # nobody committed it: what the checkout has computed
        write_lock_file(tree, read_lock_file(root))
    repair(tree)
    run_dvc(["checkout", "--force", "--allow-missing", "--quiet"], tree)


def remove(root: Path, tree: Path) -> None:
    """Drop a workspace; what it computed is in the cache."""
    top = git(tree, "rev-parse", "--show-toplevel")
    git(root, "worktree", "remove", "--force", top)


def _share(ours: Path, theirs: Path) -> None:
    if not theirs.is_symlink():
        ours.mkdir(parents=True, exist_ok=True)
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.symlink_to(ours.resolve())


def _share_cache(root: Path, tree: Path) -> None:
    """Give a workspace DVC's settings of this machine (remotes, for one), and the same cache."""
    if (root / DVC_LOCAL).is_file():
        shutil.copy(root / DVC_LOCAL, tree / DVC_LOCAL)
    cache = dvc_output(["cache", "dir"], root).strip()
    dvc_output(["cache", "dir", "--local", str((root / cache).resolve())], tree)
