"""The programs that flows start: `dvc` and the stages, each ended with the flow that started it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from flows.processes import leash

BINARIES = Path(sys.executable).parent
DVC = (str(BINARIES / "dvc"), "--wait-for-lock")
POLL_SECONDS = 0.05
NEVER = threading.Event()


class ProgramError(RuntimeError):
    """A program that did not end well."""


class StoppedError(RuntimeError):
    """A program that was ended because its flow is to stop."""


def run_dvc(arguments: Sequence[str], workspace: Path) -> None:
    """Runs dvc in the workspace with this environment's python; ProgramError unless it succeeds.

    However this function is left, no process of the run stays behind.
    """
    code = run_program([*DVC, *arguments], workspace)
    if code != 0:
        raise ProgramError(
            f"dvc {' '.join(arguments)} exited with {code}; the failed stage says why above. "
            "What finished is kept: run it again"
        )


def run_stage(name: str, workspace: Path, arguments: Sequence[str] = ()) -> None:
    """Runs `python -m stages.<name>` in the workspace; ProgramError unless it succeeds.

    However this function is left, no process of the run stays behind.
    """
    code = run_program([sys.executable, "-m", f"stages.{name}", *arguments], workspace)
    if code != 0:
        raise ProgramError(f"stages.{name} exited with {code}; it says why above")


def ask_dvc(arguments: Sequence[str], workspace: Path) -> "subprocess.CompletedProcess[str]":
    """What dvc answers, for commands that end by themselves within seconds."""
    return subprocess.run(
        [*DVC, *arguments],
        cwd=workspace,
        env=program_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def run_program(
    command: Sequence[str],
    workspace: Path,
    *,
    output: IO[bytes] | None = None,
    stop: threading.Event = NEVER,
    ask_first: str = "group",
) -> int:
    """The exit code of a command, 128 + n if signal n ended it; StoppedError once `stop` is set.

    Its output goes to the file, or where this process's goes. However this function is left, and
    if this process is killed, too, no process of the command stays behind; `ask_first` is what
    `flows/processes/leash.py` says about how it is ended.
    """
    process = subprocess.Popen(
        # Isolated and without site-packages: a fifth of the start of a usual Python.
        [sys.executable, "-I", "-S", leash.__file__, ask_first, *command],
        cwd=workspace,
        env=program_environment(),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        while not _has_ended(process):
            if stop.is_set():
                raise StoppedError(f"stopped: {' '.join(command)}")
            time.sleep(POLL_SECONDS)
    finally:
        code = _end(process)
    return code if code >= 0 else 128 - code


def program_environment() -> dict[str, str]:
    """This process's, with the environment's programs first: a stage's `python` is found there.

    And without DVC's analytics, whose process would outlive the cell.
    """
    path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "true"}


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Without reaping it, so that its number stays that of its group; macOS knows no such way."""
    if sys.platform == "darwin":
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Lets the leash end its program if that still runs, then kills what is left of the group."""
    assert process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + 5 * leash.GRACE_SECONDS
    while not _has_ended(process) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a zombie
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
