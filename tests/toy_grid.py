"""Toy pipelines of real DVC stages, and the processes that run in their workspace."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from workspace import BINARIES, ROOT, warm

# A stage as the project's are: it ends with its parent, leases a slot, reads params.yaml, refuses
# to finish if that changes, has a process of its own beside it, and writes its output atomically.
CELL = """
import os, subprocess, sys, time
from dataclasses import dataclass
from pathlib import Path
from stages.runtime import command, gpu_slots, provenance
from stages.runtime.options import StageOptions, option, output_path
from stages.tracking import status
from tsn.files import atomic_path

@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    params_sections = ("machine",)
    seconds: float = option("how long it works")
    out: Path = output_path("what it read")
    reads: tuple[Path, ...] = option("what it reads", default=(), positional=True)

def main(options):
    gpus = gpu_slots.lease(1, 1, probe=lambda gpu: gpu != "broken")
    with provenance.unchanged(options, options.reads):
        steps = max(1, int(options.seconds / 0.05))
        for step in range(steps):
            time.sleep(options.seconds / steps)
            status.report(done=step + 1, total=steps, loss=1 / (step + 1), rate=20.0)
        while Path(f"{options.out}.held").exists():
            time.sleep(0.05)
    status.report(link=f"http://mlflow/{options.out.stem}")
    with Path("leases").open("a") as file:
        file.write(f"{options.out} {gpus}\\n")
    text = "".join(path.read_text() for path in options.reads)
    with atomic_path(options.out) as temporary:
        temporary.write_text(f"{options.out}({text})")

if __name__ == "__main__":
    command.run("cell: a toy stage.", Options, main)
"""


def make_workspace(folder: Path, dvc_yaml: str) -> Path:
    """A DVC project without git, with the project's params.yaml and `cell.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text(textwrap.dedent(dvc_yaml))
    (folder / "cell.py").write_text(CELL)
    shutil.copy(ROOT / "params.yaml", folder)
    # What `dvc init --no-scm` makes, which takes a second.
    (folder / ".dvc/tmp").mkdir(parents=True)
    (folder / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    (folder / ".dvcignore").touch()
    return folder


def hold(workspace: Path, *outputs: str) -> None:
    """The cells that write these files go on working until they are let go."""
    for output in outputs:
        (workspace / f"{output}.held").touch()


def let_go(workspace: Path) -> None:
    """Lets all cells of the workspace end."""
    for held in workspace.glob("*.held"):
        held.unlink()


def cells(number: int, seconds: float, *, prep: bool = True, fuse: bool = True) -> str:
    """A dvc.yaml: prep, then `number` cells of the stage train that need it, then their fusion."""
    names = [str(index) for index in range(1, number + 1)]
    text = """
    stages:
    """
    if prep:
        text += """
      prep:
        cmd: python cell.py --seconds 0.1 --out prep.txt
        deps: [cell.py]
        outs: [prep.txt]
    """
    text += f"""
      train:
        matrix: {{index: [{", ".join(reversed(names))}]}}
        cmd: python cell.py --seconds {seconds} --out ${{item.index}}.txt{" prep.txt" * prep}
        deps: [cell.py{", prep.txt" * prep}]
        outs: ["${{item.index}}.txt"]
    """
    if fuse:
        inputs = [f"{name}.txt" for name in names]
        text += f"""
      fuse:
        cmd: python cell.py --seconds 0.1 --out fuse.txt {" ".join(inputs)}
        deps: [cell.py, {", ".join(inputs)}]
        outs: [fuse.txt]
    """
    return text


def environment(**more: str) -> dict[str, str]:
    """With the project's modules and programs that start at once, and nothing that calls home.

    What flows start is not found by its PATH, but beside the Python that runs them.
    """
    return {
        **os.environ,
        "PATH": f"{warm()}{os.pathsep}{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DVC_NO_ANALYTICS": "true",
        "DO_NOT_TRACK": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TSN_TRACKING": "off",
        **more,
    }


def dvc(workspace: Path, *arguments: str) -> str:
    """What a dvc command prints; it has to succeed."""
    done = subprocess.run(
        [warm() / "dvc", *arguments],
        cwd=workspace,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints, by an author of its own; it has to succeed."""
    author = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(
        ["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def results(workspace: Path) -> dict[str, bytes]:
    """The files that have to be the same however a pipeline was run."""
    return {
        path.name: path.read_bytes() for path in [*workspace.glob("*.txt"), lock_file(workspace)]
    }


def lock_file(workspace: Path) -> Path:
    return workspace / "dvc.lock"


# The grid without Prefect and without the stages check and sync, which load PyTorch.
GRID_PY = "run_grid.py"
GRID = """
import signal, sys, threading
from functools import partial
from pathlib import Path
from flows.grid.cells import run_cell
from flows.grid.queue import Jobs, require_good, run_grid
from flows.processes.programs import ProgramError

told = []

def watch(state):
    if not told:
        told.append(len(state.running) + len(state.outcomes) + state.waiting)
        print("planned", *told, flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
workspace, stop = Path.cwd(), threading.Event()
run = partial(run_cell, workspace=workspace, stop=stop, retry_seconds=(0.2, 0.4, 0.8))
no_stage = lambda name, workspace, stop: None
try:
    jobs = Jobs(heavy=2, light=1)
    outcomes = run_grid(workspace, (), jobs, run, watch=watch, stop=stop, run_stage=no_stage)
    require_good(outcomes)
except ProgramError as error:
    sys.exit(f"grid: {error}")
"""


def start_grid(
    workspace: Path, python: str | Path = sys.executable, **more: str
) -> "subprocess.Popen[str]":
    """The grid as a process of its own, in its workspace; by a `python` that may be warm."""
    (workspace / GRID_PY).write_text(GRID)
    return subprocess.Popen(
        [python, GRID_PY],
        cwd=workspace,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_grid(workspace: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The grid from beginning to end."""
    process = start_grid(workspace, warm() / "python", **more)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def processes(workspace: Path) -> dict[int, str]:
    """The command lines of all living processes that work in the workspace."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(workspace):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
    return found


def wait_until(
    condition: Callable[[], object], what: str, seconds: float = 120.0, pause: float = 0.1
) -> None:
    """Waits for a condition, or fails; `pause` between two looks, which a server feels."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(pause)


def require_nobody(workspace: Path, seconds: float = 15.0) -> None:
    """Fails if a process stays in the workspace."""
    deadline = time.monotonic() + seconds
    while left := processes(workspace):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.1)


@contextmanager
def cleaned(workspace: Path) -> Iterator[None]:
    """Ends what a failed test leaves running."""
    try:
        yield
    finally:
        for pid in processes(workspace):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def running(workspace: Path, words: str) -> Sequence[int]:
    """The processes of the workspace whose command line has these words."""
    return [pid for pid, line in processes(workspace).items() if words in line]


# What is killed, by words of its command line.
LEASH, DVC, STAGE = "leash.py", "bin/dvc --wait-for-lock repro", "cell.py --seconds"


def kill_one(workspace: Path, words: str, chance: random.Random) -> bool:
    """Kills one of the workspace's processes with these words, if there is one."""
    found = [
        pid
        for pid, line in processes(workspace).items()
        if words in line and (words == LEASH or LEASH not in line)  # a leash names what it holds
    ]
    if found:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(sorted(found)), signal.SIGKILL)
            return True
    return False


def forget_results(workspace: Path) -> None:
    """The workspace as before its first run."""
    for path in (*workspace.glob("*.txt"), lock_file(workspace)):
        path.unlink(missing_ok=True)
    shutil.rmtree(workspace / ".dvc/cache", ignore_errors=True)
