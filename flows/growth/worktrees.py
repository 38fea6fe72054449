"""Worktrees of retraining and of cells of other machines, and what all worktrees still need."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from flows.git.command import git
from flows.grid.active import READERS
from flows.growth.findings import Finding, files_below
from flows.processes.programs import ProgramError
from stages.runtime.places import DVC_LOCAL, DVC_LOCK, LOCKS, RETRAIN_LOCK, TREES


def other_workspaces(root: Path) -> list[Path]:
    """Return the other worktrees of the checkout's repository, wherever they lie, that are there.

    Some of them may be left half made: they may need what they name all the same. Where the project
    is a folder of a repository, it is that folder of each.
    """
    found = {*(root / TREES).glob("*"), *_known_to_git(root)}
    with suppress(ProgramError):
        found = {path / git(root, "rev-parse", "--show-prefix") for path in found}
    here = root.resolve()
    return sorted(p for p in {path.resolve() for path in found} if p.is_dir() and p != here)


def old_worktrees(root: Path, days: float) -> list[Path]:
    """Return the flows' own worktrees that nobody has used for so long, or works in (on Linux)."""
    before = time.time() - days * 86400
    trees = (path for path in sorted((root / TREES).glob("*")) if path.is_dir())
    return [tree for tree in trees if _last_use(tree) < before and not _is_worked_in(tree)]


def worktrees_finding(root: Path, trees: Sequence[Path]) -> Finding:
    """Return the finding of worktrees that can go."""
    return Finding(
        what="worktrees",
        text=f"{len(trees)} that no process holds: {', '.join(tree.name for tree in trees)}",
        paths=tuple(path for tree in trees for path in files_below(tree)),
        free=partial(_remove, root, trees) if trees else None,
    )


def flow_locks(root: Path) -> list[Path]:
    """Return the lock files under which flows use the worktrees of a checkout."""
    return [root / RETRAIN_LOCK, *sorted(path for path in (root / LOCKS).glob("*"))]


def _is_worked_in(tree: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(tree.resolve()):
                return True
    return False


def _last_use(tree: Path) -> float:
    """Return when something was written that every use of a worktree writes."""
    names = (DVC_LOCAL, READERS, DVC_LOCK)
    paths = [tree, *(path for name in names for path in tree.glob(f"**/{name}"))]
    return max(path.stat().st_mtime for path in paths)


def _remove(root: Path, trees: Sequence[Path]) -> None:
    """Remove worktrees that no process works in. ProgramError for one that git keeps, as locked."""
    for tree in trees:
        if _is_worked_in(tree):
            continue  # since it was found
        try:
            git(root, "worktree", "remove", "--force", str(tree))
        except ProgramError:
            if tree.resolve() in _known_to_git(root):
                raise
        if tree.exists():  # left half made, or not git's any more
            shutil.rmtree(tree)
    with suppress(ProgramError):
        git(root, "worktree", "prune")


def _known_to_git(root: Path) -> set[Path]:
    try:
        lines = git(root, "worktree", "list", "--porcelain").splitlines()
    except ProgramError:
        return set()
    return {
        Path(line.removeprefix("worktree ")).resolve()
        for line in lines
        if line.startswith("worktree ")
    }
