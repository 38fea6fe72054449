"""`tsn gc`: what a workspace keeps that nobody needs, shown first and then removed.

Worktrees first, whose manifests and results are then nobody's; the stream store last, since what
DVC's cache holds of it goes with the cache. docs/growth.md says what grows, and how fast.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from flows.grid.active import only_run
from flows.growth.findings import Finding, all_bytes, freed_bytes, size
from flows.growth.leftovers import cache_finding, mlflow_finding, progress_finding
from flows.growth.stream_store import store_finding
from flows.growth.worktrees import (
    flow_locks,
    old_worktrees,
    other_workspaces,
    worktrees_finding,
)
from flows.processes.locks import lock_or_refuse
from flows.processes.programs import ProgramError


def collect(root: Path, days: float, *, yes: bool) -> None:
    """Show what can be reclaimed, and reclaim it: with `yes`, or if a person at a terminal says so.

    days: how long unused, before a worktree, a training or a stream goes. While a grid, a `tsn
    repro` or a retraining is active nothing is removed, and while this runs they wait or refuse.
    """
    with nobody_else(root) as refusal:
        findings = list(find(root, days))
        print(told(findings), flush=True)
        if not any(finding.free for finding in findings):
            return
        if refusal:
            print(f"nothing is removed: {refusal}")
        elif yes or (sys.stdin.isatty() and input("remove it? [y/N] ").strip().lower() == "y"):
            reclaim(findings)
        else:
            print("nothing is removed; `tsn gc --yes` does it")


@contextmanager
def nobody_else(root: Path) -> Iterator[str]:
    """Keep runs and retraining of a checkout waiting; give who runs already, or nothing."""
    with ExitStack() as stack:
        refusal = ""
        try:
            stack.enter_context(only_run(root))
            for lock in flow_locks(root):
                what = f"a retraining or a cell is active in {root.resolve()}"
                stack.enter_context(lock_or_refuse(lock, what))
        except ProgramError as error:
            refusal = str(error)
        yield refusal


def find(root: Path, days: float) -> Iterator[Finding]:
    """Yield a finding of every kind, in the order in which they are to be freed."""
    leaving = old_worktrees(root, days)
    gone = [tree.resolve() for tree in leaving]
    staying = [p for p in other_workspaces(root) if not any(map(p.is_relative_to, gone))]
    yield worktrees_finding(root, leaving)
    yield _asked("training progress", partial(progress_finding, root, days))
    yield _asked("MLflow", mlflow_finding)
    cache = _asked("DVC cache", partial(cache_finding, root, staying))
    yield cache
    yield _asked("stream store", partial(store_finding, root, staying, cache.paths, days))


def _asked(what: str, ask: Callable[[], Finding]) -> Finding:
    """Return a finding; that nothing is known of the kind where a program does not answer."""
    try:
        return ask()
    except (ProgramError, OSError, ValueError) as error:
        return Finding(what=what, kept=f"all of it: {error}")


def told(findings: list[Finding]) -> str:
    """Return the findings as a table, and what they would free together."""
    rows = [finding for finding in findings if finding.free]
    lines = [f"{row.what:18} {size(all_bytes(row.paths)):>12}   {row.text}" for row in rows]
    together = freed_bytes(path for row in rows for path in row.paths)
    if rows:
        lines.append(
            f"{'together':18} {size(together):>12}   (a file with several names counts once)"
        )
    else:
        lines.append("nothing to reclaim")
    return "\n".join([*lines, *(f"kept, {row.what}: {row.kept}" for row in findings if row.kept)])


def reclaim(findings: list[Finding]) -> None:
    """Remove what was found, and say what each kind has freed; ValueError names what failed."""
    failed, freed = [], 0
    for finding in findings:
        if finding.free is None:
            continue
        before = freed_bytes(finding.paths)
        try:
            finding.free()
        except (ProgramError, OSError) as error:
            failed.append(f"{finding.what}: {error}")
        done = before - freed_bytes(finding.paths)
        freed += done
        print(f"{finding.what:18} {size(done):>12}   freed", flush=True)
    print(f"{'together':18} {size(freed):>12}   freed")
    if failed:
        raise ValueError("\n".join(failed))
