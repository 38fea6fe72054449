"""One at a time: a lock that the kernel gives back when its holder ends, however that ends."""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from flows.processes.programs import NEVER, ProgramError, StoppedError

LOOK_SECONDS = 0.1
logger = logging.getLogger(__name__)


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file; ProgramError, with `what` runs and its pid, if another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        if not try_lock(lock):
            lock.seek(0)
            raise ProgramError(
                f"{what}: pid {lock.read().strip() or '?'}. Wait for it, or stop it; a second one "
                "would do the same work"
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextmanager
def one_after_another(path: Path, *, stop: threading.Event = NEVER) -> Iterator[None]:
    """Holds the lock file, after a wait as long as another process does.

    StoppedError once `stop` is set. Nothing is written into the file: it may be another program's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        told = False
        while not try_lock(lock):
            if not told:
                logger.info("%s: waiting for the process that holds it", path)
                told = True
            if stop.wait(LOOK_SECONDS):
                raise StoppedError(f"stopped: waiting for {path}")
        yield


def try_lock(lock: IO[str]) -> bool:
    """Locks an open file until it is closed; False if another one holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
