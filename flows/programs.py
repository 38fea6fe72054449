"""The programs that flows start: `dvc` and the stages, each ended with the flow that started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

GRACE_SECONDS = 10.0


class ProgramError(RuntimeError):
    """A program that did not end well."""


def run_dvc(arguments: Sequence[str], workspace: Path) -> None:
    """Runs dvc in the workspace with this environment's python; ProgramError unless it succeeds.

    However this function is left, no process of the run stays behind.
    """
    dvc = Path(sys.executable).parent / "dvc"
    code = _run([str(dvc), "--wait-for-lock", *arguments], workspace)
    if code != 0:
        raise ProgramError(
            f"dvc {' '.join(arguments)} exited with {code}; the failed stage says why above. "
            "What finished is kept: run it again"
        )


def run_stage(name: str, workspace: Path, arguments: Sequence[str] = ()) -> None:
    """Runs `python -m stages.<name>` in the workspace; ProgramError unless it succeeds.

    However this function is left, no process of the run stays behind.
    """
    code = _run([sys.executable, "-m", f"stages.{name}", *arguments], workspace)
    if code != 0:
        raise ProgramError(f"stages.{name} exited with {code}; it says why above")


def _run(command: Sequence[str], workspace: Path) -> int:
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(command, cwd=workspace, env=environment, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C for the whole group, as dvc releases its locks on that, then harder."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, stop)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
