"""A way out of a library that never returns: the process ends itself, and its caller lives on."""

import math
import os
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")

HUNG = 124  # the exit code, as that of `timeout`
PATIENCE_SECONDS = 300.0  # for a frame, or for opening a large file on a slow disk


def watched(items: Iterator[Item], seconds: float = PATIENCE_SECONDS) -> Iterator[Item]:
    """Yield `items`; end the process with HUNG when one takes longer than `seconds` to come.

    What the caller does between two items may take its time.
    """
    deadline = math.inf
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(min(1.0, seconds / 4)):
            if time.monotonic() > deadline:
                os._exit(HUNG)

    threading.Thread(target=watch, daemon=True).start()
    try:
        while True:
            deadline = time.monotonic() + seconds
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                deadline = math.inf
            yield item
    finally:
        finished.set()
