"""Work ahead: order, bounds, errors at their place, and nothing left running."""

import threading
import time
from collections.abc import Iterator

import pytest

from tsn.workers.prefetch import map_ahead, prefetch


def counted(fetched: list[int], length: int) -> Iterator[int]:
    for index in range(length):
        fetched.append(index)
        yield index


def test_prefetch_keeps_the_order_and_runs_ahead_by_its_depth() -> None:
    fetched: list[int] = []
    items = prefetch(counted(fetched, 9), depth=3)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(fetched) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(fetched) == 4  # the one handed out, and three
    assert list(items) == list(range(1, 9))
    assert list(prefetch(iter([]), depth=2)) == []


def test_prefetch_hands_on_an_error_in_its_place() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    items = prefetch(failing(), depth=5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(items)


def test_map_ahead_keeps_the_order_and_is_never_far_ahead() -> None:
    fetched: list[int] = []

    def slow_at_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    results = map_ahead(slow_at_first, counted(fetched, 50), threads=2)
    assert next(results) == 0
    assert len(fetched) == 5
    assert list(results) == [n * n for n in range(1, 50)]


def test_closed_early_they_leave_no_thread() -> None:
    before = set(threading.enumerate())
    items = map_ahead(str, prefetch(counted([], 100), depth=4), threads=3)
    next(items)
    items.close()  # type: ignore[attr-defined]
    del items
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
