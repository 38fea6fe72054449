"""Work done ahead of the one who asks for it, in threads, in order and never far ahead.

Decoding, OpenCV, flow on either device and JPEG encoding let go of Python's lock, so a video's next
frames are decoded while these ones' flow is computed and the last ones' is encoded.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Yield `items`, of which a thread fetches up to `depth` in advance.

    An error of the iterator comes where its item would.
    """
    end = object()
    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown(cancel_futures=True)


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, computed by `threads` threads."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
