"""The programs that flows start: `dvc` and the stages, each ended with the flow that started it."""

import os
import re
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
from stages.runtime.command import LATER, SYNC
from stages.runtime.places import LOGS, dvc_site, make_private

BINARIES = Path(sys.executable).parent
DVC = (str(BINARIES / "dvc"), "--wait-for-lock")
POLL_SECONDS = 0.05
NEVER = threading.Event()
LOG_BYTES = 100_000  # of the end of an output, to look for the reason in
REASON_LINES = 8
NOT_THE_REASON = re.compile(r"^(Running stage|> |ERROR: failed to reproduce|Updating lock file)")


class ProgramError(RuntimeError):
    """A program that did not end well."""


class StoppedError(RuntimeError):
    """A program that was ended because its flow is to stop."""


def run_dvc(arguments: Sequence[str], workspace: Path) -> None:
    """Run dvc in the workspace with this environment's python; ProgramError unless it succeeds.

    However this function is left, no process of the run stays behind.
    """
    code = run_program([*DVC, *arguments], workspace)
    if code != 0:
        raise ProgramError(
            f"dvc {' '.join(arguments)} exited with {code}; the failed stage says why above. "
            "What finished is kept: run it again"
        )


def dvc_output(arguments: Sequence[str], workspace: Path) -> str:
    """Return what a dvc command prints that ends by itself within seconds.

    ProgramError with its words when it fails.
    """
    done = subprocess.run(
        [*DVC, *arguments],
        cwd=workspace,
        env={**program_environment(workspace), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        told = done.stderr.strip() or done.stdout.strip() or f"exited with {done.returncode}"
        raise ProgramError(f"dvc {' '.join(arguments)}: {told}")
    return done.stdout


def run_stage(
    name: str, workspace: Path, arguments: Sequence[str] = (), *, stop: threading.Event = NEVER
) -> None:
    """Run `python -m stages.<name>` in the workspace, and print what it printed.

    ProgramError with its last words unless it succeeds, StoppedError once `stop` is set. However
    this function is left, no process of the run stays behind.
    """
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    code, text = run_logged(command, workspace, workspace / LOGS / f"{name}.log", stop=stop)
    if code != 0:
        raise ProgramError(last_words(text) or f"stages.{name} exited with {code}")
    if text.strip():
        print(text.strip(), flush=True)


def run_logged(
    command: Sequence[str],
    workspace: Path,
    log: Path,
    *,
    append: bool = False,
    stop: threading.Event = NEVER,
) -> tuple[int, str]:
    """Return the exit code of a command as `run_program` does, and the end of what it printed.

    All that it prints goes to the file `log`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab" if append else "wb") as output:
        begin = output.tell()
        code = run_program(command, workspace, output=output, stop=stop)
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - LOG_BYTES))
        return code, file.read().decode(errors="replace")


def last_words(text: str) -> str:
    """Return the last lines of a failed program's output, without what dvc says of every cell."""
    lines = [line.rstrip() for line in text.splitlines()]
    told = [line for line in lines if line and not NOT_THE_REASON.match(line)]
    failure = [line for line in lines if line.startswith("ERROR: failed to reproduce")]
    return "\n".join(told[-REASON_LINES:] or failure[-1:])


def run_program(
    command: Sequence[str],
    workspace: Path,
    *,
    output: IO[bytes] | None = None,
    stop: threading.Event = NEVER,
    ask_first: str = "group",
) -> int:
    """Return the exit code of a command, 128 + n if signal n ended it.

    StoppedError once `stop` is set. Its output goes to the file, or where this process's goes.
    However this function is left, and if this process is killed, too, no process of the command
    stays behind; `ask_first` is what `flows/processes/leash.py` says about how it is ended.
    """
    process = subprocess.Popen(
        # Isolated and without site-packages: a fifth of the start of a usual Python.
        [sys.executable, "-I", "-S", leash.__file__, ask_first, *command],
        cwd=workspace,
        env=program_environment(workspace),
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


def program_environment(workspace: Path) -> dict[str, str]:
    """Return this process's environment, in which a stage's `python` is found here.

    With a place for DVC's pickles that nobody else may write to, which is made; without DVC's
    analytics, whose process would outlive the cell. What is finished is logged to MLflow by whoever
    starts the programs, not by each.
    """
    make_private(workspace)
    return {
        **os.environ,
        "DVC_SITE_CACHE_DIR": dvc_site(workspace),
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "true",
        SYNC: LATER,
    }


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Return whether it has ended, without reaping it: its number stays that of its group.

    macOS knows no such way.
    """
    if sys.platform == "darwin":
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Let the leash end its program if that still runs, then kill what is left of the group."""
    assert process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + 5 * leash.GRACE_SECONDS
    while not _has_ended(process) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a zombie
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
