"""Lock files between processes: the kernel frees one when its holder ends, however that ends."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from flows.processes.holders import describe
from flows.processes.programs import NEVER, ProgramError, StoppedError
from tsn.locks import try_lock

POLL_SECONDS = 0.1
logger = logging.getLogger(__name__)


@contextmanager
def lock_or_refuse(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file; ProgramError with `what` runs, and who it is, if another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        if not try_lock(lock):
            raise ProgramError(
                f"{what}: {_holder(lock)}. Wait for it, or stop it; a second one would do the same "
                "work"
            )
        _sign(lock)
        yield


@contextmanager
def wait_for_lock(
    path: Path, *, stop: threading.Event = NEVER, sign: bool = True
) -> Iterator[None]:
    """Hold the lock file, after a wait as long as another process does, and say which.

    StoppedError once `stop` is set. sign: write into the file who holds it; not into one of another
    program.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        if not try_lock(lock):
            logger.info("%s: waiting for %s", path, _holder(lock))
            while not try_lock(lock):
                if stop.wait(POLL_SECONDS):
                    raise StoppedError(f"stopped: waiting for {path}")
        if sign:
            _sign(lock)
        yield


def _sign(lock: IO[str]) -> None:
    lock.truncate(0)
    lock.write(f"{describe(os.getpid())}\n")
    lock.flush()


def _holder(lock: IO[str]) -> str:
    """Return who holds a lock file, as it says itself: in words, or by a number as DVC does."""
    lock.seek(0)
    text = lock.read().strip()
    return describe(int(text)) if text.isdecimal() else text or "the process that holds it"
