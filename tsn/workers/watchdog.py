"""A way out of a library that never returns: the process ends itself, and its caller lives on."""

import math
import os
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")

HUNG = 124  # the exit code, as that of `timeout`


def watched(items: Iterator[Item], seconds: float, in_all: float = math.inf) -> Iterator[Item]:
    """Yield `items`; end the process with HUNG when one takes longer than `seconds` to come.

    So it ends when they take longer than `in_all` together. What the caller does between two items
    may take its time.
    """
    deadline, left = math.inf, in_all
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(min(1.0, seconds / 4)):
            if time.monotonic() > deadline:
                os._exit(HUNG)

    threading.Thread(target=watch, daemon=True).start()
    try:
        while True:
            began = time.monotonic()
            deadline = began + min(seconds, left)
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                deadline = math.inf
            left -= time.monotonic() - began
            yield item
    finally:
        finished.set()
