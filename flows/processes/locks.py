"""Lock files between processes: the kernel frees one when its holder ends, however that ends."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.processes.programs import NEVER, ProgramError, StoppedError
from tsn.locks import try_lock

POLL_SECONDS = 0.1
logger = logging.getLogger(__name__)


@contextmanager
def lock_or_refuse(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file; ProgramError with `what` runs, and its pid, if another process does."""
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
def wait_for_lock(path: Path, *, stop: threading.Event = NEVER) -> Iterator[None]:
    """Hold the lock file, after a wait as long as another process does.

    StoppedError once `stop` is set. Nothing is written into the file: it may be another program's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        if not try_lock(lock):
            logger.info("%s: waiting for the process that holds it", path)
            while not try_lock(lock):
                if stop.wait(POLL_SECONDS):
                    raise StoppedError(f"stopped: waiting for {path}")
        yield
