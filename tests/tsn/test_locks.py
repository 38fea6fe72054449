"""A lock file has one holder, or several who share it."""

import threading
from pathlib import Path

from tsn.locks import hold_lock, try_lock


def test_a_lock_is_held_by_one_or_shared(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a") as one, path.open("a") as other:
        assert try_lock(one) and not try_lock(other) and not try_lock(other, shared=True)
    with path.open("a") as one, path.open("a") as other, path.open("a") as third:
        assert try_lock(one, shared=True) and try_lock(other, shared=True) and not try_lock(third)
    with path.open("a") as file:
        assert try_lock(file)  # the others are closed


def test_who_waits_gets_the_lock_after_the_one_before(tmp_path: Path) -> None:
    order = []

    def wait() -> None:
        with hold_lock(tmp_path / "made/lock"):
            order.append("second")

    with hold_lock(tmp_path / "made/lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
