"""What DVC, MLflow and killed training runs leave, asked of DVC and of MLflow themselves."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from flows.git.command import git
from flows.grid.plan import changed_cells, plan_of, read_graph
from flows.growth.findings import Finding, files_below
from flows.processes.programs import BINARIES, ProgramError, dvc_output, program_environment
from stages.runtime.places import DVC_EXPERIMENTS, PROGRESS
from stages.tracking import deleted, store

HISTORY = ("--all-branches", "--all-tags", "--all-commits", "--all-experiments")
REMOVED = re.compile(r"^Removing (?P<path>.+)$", re.MULTILINE)


def cache_finding(root: Path, others: Sequence[Path]) -> Finding:
    """Return the finding of DVC's cache: all but what the workspaces, commits and experiments use.

    others: workspaces that use the same cache.
    """
    cache = (root / dvc_output(["cache", "dir"], root).strip()).resolve()
    if not cache.is_relative_to(root.resolve()):
        return Finding(
            what="DVC cache",
            kept=f"{cache} is not of this checkout alone: `dvc gc --workspace --all-commits "
            "--projects ...` with all projects that use it",
        )
    if not (cache / "files").is_dir():
        return Finding(what="DVC cache")
    if (copy := next((root / DVC_EXPERIMENTS).rglob("dvc.yaml"), None)) is not None:
        # It has what no commit names yet.
        where = copy.parent.relative_to(root)
        return Finding(what="DVC cache", kept=f"all of it: {where} is an experiment's copy")
    command = ["gc", "--workspace", *_history(root)]
    if projects := [str(path) for path in others if (path / ".dvc").is_dir()]:
        command += ["--projects", *projects]
    print("dvc gc reads every commit: that takes a while", file=sys.stderr, flush=True)
    told = dvc_output([*command, "--dry"], root)
    paths = [Path(found["path"]) for found in REMOVED.finditer(told)]
    return Finding(
        what="DVC cache",
        text=f"{len(paths)} files of no workspace, commit or experiment (dvc gc)",
        paths=tuple(paths),
        free=partial(dvc_output, [*command, "--force"], root) if paths else None,
    )


def _history(root: Path) -> tuple[str, ...]:
    """Return the options by which what commits and experiments use is kept, where there is git.

    ProgramError where there is, and cannot be asked: then nobody knows what they use.
    """
    if not any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents)):
        return ()
    git(root, "rev-parse", "--verify", "HEAD")
    no_scm = ""
    with suppress(ProgramError):  # it is not set
        no_scm = dvc_output(["config", "core.no_scm"], root).strip().lower()
    return _without_git(root) if no_scm == "true" else HISTORY


def _without_git(root: Path) -> tuple[str, ...]:
    """Return no options, if the project is no part of the repository that it lies in."""
    if git(root, "ls-files", "dvc.yaml"):
        raise ProgramError("DVC is told that there is no git: `make setup` puts that right")
    return ()


def progress_finding(root: Path, days: float) -> Finding:
    """Return the finding of training runs that were killed, and whose cells are done or gone since.

    days: how long before.
    """
    folders = sorted(path for path in (root / PROGRESS).glob("*") if path.is_dir())
    if not folders:
        return Finding(what="training progress")
    graph = read_graph(root)
    to_come = {cell.name for cell in plan_of(graph, changed_cells(root)).cells}
    before = time.time() - days * 86400
    done = [
        path
        for path in folders
        if not to_come.intersection(cells_of(path.name))
        and all(file.lstat().st_mtime < before for file in files_below(path))
    ]
    return Finding(
        what="training progress",
        text=f"{len(done)} of cells that are done or gone: {', '.join(p.name for p in done)}",
        paths=tuple(file for path in done for file in files_below(path)),
        free=partial(_remove, done) if done else None,
    )


def cells_of(name: str) -> tuple[str, str]:
    """Return the cells that may have saved a training under that name."""
    return f"train@{name}", f"pretrain@{name.removesuffix('-init')}"


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        for file in files_below(folder):
            file.unlink(missing_ok=True)
        folder.rmdir()


def mlflow_finding() -> Finding:
    """Return the finding of what was deleted in MLflow's UI, and can be restored there so far."""
    what, uri = "MLflow", store.tracking_uri()
    if store.sqlite_file(uri) is None:
        return Finding(what=what, kept=f"{uri} is a server: `mlflow gc` where it runs")
    found = deleted.find_deleted()
    if found.registered:
        return Finding(
            what=what,
            kept=f"all of it: {', '.join(found.registered)} was deleted and "
            "has a registered version; restore the run, or delete the version",
        )
    if found.elsewhere:
        return Finding(
            what=what,
            kept="all of it: runs were logged through `tsn server`, which holds their files: "
            "`mlflow gc --tracking-uri http://127.0.0.1:5000 --backend-store-uri "
            f"{store.without_credentials(uri)}` while it runs",
        )
    return Finding(
        what=what,
        text=f"{found.runs} runs and {found.experiments} experiments that were deleted in the UI",
        paths=tuple(path for folder in found.artifacts for path in files_below(folder)),
        free=partial(_collect_mlflow, uri) if found.runs or found.experiments else None,
    )


def _collect_mlflow(uri: str) -> None:
    command = [str(BINARIES / "mlflow"), "gc", "--backend-store-uri", uri, "--tracking-uri", uri]
    done = subprocess.run(
        command, env=program_environment(Path.cwd()), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise ProgramError(f"mlflow gc: {done.stderr.strip()[-2000:]}")
