"""Locks between processes: refused, or waited for."""

import os
import threading
from pathlib import Path

import pytest

from flows.processes.locks import lock_or_refuse, wait_for_lock
from flows.processes.programs import ProgramError, StoppedError


def test_second_holder_is_refused_or_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    path, came = tmp_path / "folder/lock", []

    def second() -> None:
        with wait_for_lock(path):
            came.append("second")

    thread = threading.Thread(target=second)
    with lock_or_refuse(path, "it runs"):
        with (
            pytest.raises(
                ProgramError, match=rf"it runs: pid {os.getpid()} \(.*\), since 20.*\. Wait"
            ),
            lock_or_refuse(path, "it runs"),
        ):
            pass
        thread.start()
        thread.join(0.5)
        came.append("first")
    thread.join(30)
    assert came == ["first", "second"]


def test_wait_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    path = tmp_path / "lock"
    with (
        wait_for_lock(path),
        pytest.raises(StoppedError, match="waiting for"),
        wait_for_lock(path, stop=stop),
    ):
        pass
