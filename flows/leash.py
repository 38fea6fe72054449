"""A program that ends with the flow that started it, however that flow ends.

    python flows/leash.py group|alone PROGRAM [ARGUMENT ...] < pipe

runs the program until it ends or until its own standard input does, which happens when the flow
closes that pipe, and when the flow is gone, be it by kill -9. Then the program is asked to stop by
Ctrl-C, with all that it started (`group`: `dvc` leaves that to its command, and gives its locks
back) or first `alone` (a flow, which needs its server to say goodbye); then all of them, harder,
and at last what is left of the group is killed. Needs nothing but Python itself, as it runs once
for every cell.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE_SECONDS = 10.0
PR_SET_PDEATHSIG = 1


def main(first: str, command: Sequence[str]) -> int:
    """Runs the command; its exit code, 128 + n when signal n ended it.

    first: who is asked first, `group` or `alone`.
    """
    for wished in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(wished, lambda *_: None)  # they are for the program, which shares our group
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_leash)
    left_alone = threading.Event()
    watch = threading.Thread(target=_watch, args=(program, first, left_alone), daemon=True)
    watch.start()
    code = program.wait()
    if left_alone.is_set():
        watch.join()
    return code if code >= 0 else 128 - code


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
    os.killpg(0, signal.SIGKILL)  # what the program left behind, and this process


def _end_with_leash() -> None:
    """On Linux the kernel ends the program should this process be killed itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
