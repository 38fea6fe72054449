"""A program that ends with the flow that started it, however that flow ends.

    python flows/processes/leash.py group|alone PROGRAM [ARGUMENT ...] < pipe

runs the program until it ends or until its own standard input does, which happens when the flow
closes that pipe, and when the flow is gone, be it by kill -9. Then the program is asked to stop by
Ctrl-C, with all that it started (`group`: `dvc` leaves that to its command, and gives its locks
back) or first `alone` (a flow, which needs its server to say goodbye); then all of them, harder,
and at last what is left of the group is killed. On Linux that comes to the sessions, too, that a
program leaves when it dies, as a Prefect worker its flow runs. Needs nothing but Python itself, as
it runs once for every cell.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(first: str, command: Sequence[str]) -> int:
    """Run the command; return its exit code, 128 + n when signal n ended it.

    first: who is asked first, `group` or `alone`.
    """
    for wished in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(wished, lambda *_: None)  # they are for the program, which shares our group
    _control(PR_SET_CHILD_SUBREAPER, 1)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_leash)
    left_alone = threading.Event()
    watch = threading.Thread(target=_watch, args=(program, first, left_alone), daemon=True)
    watch.start()
    _bury_others(program.pid)
    code = program.wait()
    if left_alone.is_set():
        watch.join()
    _end_orphans()
    return code if code >= 0 else 128 - code


def _bury_others(program: int) -> None:
    """Wait for the program, and meanwhile for what became ours: DVC takes zombies for living."""
    if sys.platform != "linux":
        return
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)) is not None:
            if ended.si_pid == program:
                return
            os.waitpid(ended.si_pid, 0)


def _watch(program: "subprocess.Popen[bytes]", first: str, left_alone: threading.Event) -> None:
    while os.read(0, 1):
        pass
    left_alone.set()
    for stop in (signal.SIGINT, signal.SIGTERM):
        if first == "alone" and stop is signal.SIGINT:
            program.send_signal(stop)
        else:
            os.killpg(0, stop)
        try:
            program.wait(GRACE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    else:
        program.kill()
    _end_orphans()
    os.killpg(0, signal.SIGKILL)  # what the program left behind, and this process


def _end_orphans() -> None:
    """End the processes that are this one's since those that started them died."""
    begin = time.monotonic()
    asked: set[int] = set()
    # One that is not gone some time after it was killed hangs in the kernel.
    while (waited := time.monotonic() - begin) < 2 * GRACE_SECONDS and (
        children := set(_children())
    ):
        if waited < GRACE_SECONDS:
            stop, whom = signal.SIGTERM, children - asked
        else:
            stop, whom = signal.SIGKILL, children
        for pid in whom:
            with suppress(ProcessLookupError):
                os.kill(pid, stop)
        asked |= children
        time.sleep(POLL_SECONDS)


def _children() -> Iterator[int]:
    """Yield the children that live; bury those that have ended. Linux only."""
    if sys.platform != "linux":
        return
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and _parent(entry.name) == os.getpid():
            yield int(entry.name)


def _parent(pid: str) -> int | None:
    with suppress(OSError):
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)  # pathlib doubles our start
        try:
            behind_the_name = os.read(file, 4096).rpartition(b")")[2]
        finally:
            os.close(file)
        return int(behind_the_name.split()[1])
    return None


def _end_with_leash() -> None:
    """Have the kernel end the program should this process be killed itself. Linux only.

    Not by `tsn.workers.parent`: this process runs isolated, with nothing but Python itself.
    """
    _control(PR_SET_PDEATHSIG, signal.SIGTERM)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
