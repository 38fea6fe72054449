"""A workspace of its own for one commit: a git worktree that shares the checkout's DVC cache.

What runs there cannot be spoiled by edits in the checkout, and the checkout stays free meanwhile.
Its results are in the shared cache, so `dvc repro` in the checkout takes them from there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.programs import ProgramError

TREES = Path(".tsn/trees")
SHARED = (Path(".tsn/store"), Path(".tsn/survey"), Path("inbox"))  # what a commit does not say
LOCK = "dvc.lock"


def git(root: Path, *arguments: str) -> str:
    """What git prints; ProgramError with its own words when it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode != 0:
        raise ProgramError(f"git {' '.join(arguments)}: {done.stderr.strip() or done.stdout}")
    return done.stdout.strip()


def require_repository(root: Path) -> None:
    """ProgramError unless `root` is the top of a git checkout with a commit."""
    try:
        top = Path(git(root, "rev-parse", "--show-toplevel"))
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except (OSError, ProgramError):
        top = None
    if top is None or top.resolve() != root.resolve():
        raise ProgramError(
            f"{root} is no git checkout with a commit; this pins what it runs to a commit: "
            "`git init`, `git add .` and `git commit` first, or clone the project"
        )


def pin(root: Path, name: str, commit: str) -> Path:
    """The workspace `name` of a checkout, at that commit, with everything that DVC knows of it.

    It is kept from one time to the next, and made anew if it was left half made.
    """
    tree = root / TREES / name
    try:
        git(tree, "checkout", "--quiet", "--force", "--detach", commit)
    except (OSError, ProgramError):
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        git(root, "worktree", "prune")
        git(root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
    for shared in SHARED:
        _share(root / shared, tree / shared)
    _share_cache(root, tree)
    known = root / LOCK
    if known.is_file() and not (tree / LOCK).exists():
        shutil.copy(known, tree / LOCK)  # nobody committed it: what the checkout has computed
    # What is not in the cache is computed, or fetched, by what runs here.
    _dvc(tree, ["checkout", "--force", "--allow-missing", "--quiet"])
    return tree


def tracking_uri(root: Path) -> str:
    """Where runs of a checkout's workspaces are logged: to its own store, unless one is chosen."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def _share(ours: Path, theirs: Path) -> None:
    if not theirs.is_symlink():
        ours.mkdir(parents=True, exist_ok=True)
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.symlink_to(ours.resolve())


def _share_cache(root: Path, tree: Path) -> None:
    """DVC's settings of this machine (remotes, for one), and the same cache."""
    local = root / ".dvc/config.local"
    if local.is_file():
        shutil.copy(local, tree / ".dvc/config.local")
    cache = _dvc(root, ["cache", "dir"]).strip()
    _dvc(tree, ["cache", "dir", "--local", str((root / cache).resolve())])


def _dvc(workspace: Path, arguments: Sequence[str]) -> str:
    """What a short dvc command prints."""
    dvc = Path(sys.executable).parent / "dvc"
    done = subprocess.run(
        [str(dvc), "--wait-for-lock", *arguments], cwd=workspace, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ProgramError(f"dvc {' '.join(arguments)}: {done.stderr.strip() or done.stdout}")
    return done.stdout
