"""One at a time: a lock that the kernel gives back when its holder ends, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.programs import ProgramError


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file; ProgramError, with `what` runs and its pid, if another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ProgramError(
                f"{what}: pid {lock.read().strip() or '?'}. Wait for it, or stop it; a second one "
                "would do the same work"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
