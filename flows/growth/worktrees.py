"""Worktrees of retrainings and of cells of other machines, and what all worktrees still need."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from flows.git.command import git
from flows.growth.findings import Finding, files_below
from flows.processes.programs import ProgramError
from stages.runtime.places import LOCKS, RETRAIN_LOCK, TREES
from tsn.locks import try_lock


def other_workspaces(root: Path) -> list[Path]:
    """Return the other worktrees of the checkout's repository, wherever they lie, that are there.

    Some of them may be left half made: they may need what they name all the same. Where the project
    is a folder of a repository, it is that folder of each.
    """
    found = set((root / TREES).glob("*"))
    with suppress(ProgramError):
        for line in git(root, "worktree", "list", "--porcelain").splitlines():
            if line.startswith("worktree "):
                found.add(Path(line.removeprefix("worktree ")))
        found = {path / git(root, "rev-parse", "--show-prefix") for path in found}
    here = root.resolve()
    return sorted(p for p in {path.resolve() for path in found} if p.is_dir() and p != here)


def old_worktrees(root: Path, days: float) -> list[Path]:
    """Return the flows' own worktrees that nobody has used for so long, and nobody holds."""
    before = time.time() - days * 86400
    trees = (path for path in sorted((root / TREES).glob("*")) if path.is_dir())
    return [tree for tree in trees if _last_use(tree) < before and not is_held(root, tree)]


def worktrees_finding(root: Path, trees: Sequence[Path]) -> Finding:
    """Return the finding of worktrees that can go."""
    return Finding(
        what="worktrees",
        text=f"{len(trees)} that no process holds: {', '.join(tree.name for tree in trees)}",
        paths=tuple(path for tree in trees for path in files_below(tree)),
        free=partial(_remove, root, trees) if trees else None,
    )


def is_held(root: Path, tree: Path) -> bool:
    """Return whether a flow has locked a worktree, or a process works in it (on Linux)."""
    with _flow_locks(root, tree) as free:
        return not free or _is_worked_in(tree)


@contextmanager
def _flow_locks(root: Path, tree: Path) -> Iterator[bool]:
    """Hold the locks under which flows use a worktree; give whether all of them were free."""
    with ExitStack() as stack:
        free = True
        for path in (root / RETRAIN_LOCK, root / LOCKS / tree.name):
            if path.exists():
                free &= try_lock(stack.enter_context(path.open("a")))
        yield free


def _is_worked_in(tree: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(tree.resolve()):
                return True
    return False


def _last_use(tree: Path) -> float:
    """Return when something was written that every use of a worktree writes."""
    names = (".dvc/config.local", ".dvc/tmp/rwlock", "dvc.lock")
    paths = [tree, *(path for name in names for path in tree.glob(f"**/{name}"))]
    return max(path.stat().st_mtime for path in paths)


def _remove(root: Path, trees: Sequence[Path]) -> None:
    for tree in trees:
        with _flow_locks(root, tree) as free:
            if not free or _is_worked_in(tree):
                continue  # since it was found
            with suppress(ProgramError):
                git(root, "worktree", "remove", "--force", str(tree))
            if tree.exists():  # left half made, or not git's any more
                shutil.rmtree(tree)
    with suppress(ProgramError):
        git(root, "worktree", "prune")
