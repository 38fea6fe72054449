"""What a command of a flow starts with."""

import os
import signal

import pytest
from prefect.settings import Settings

from flows.processes import start


def test_a_temporary_server_evaluates_no_triggers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", start.ON_A_LEASH, start.TRIGGERS):
        monkeypatch.setenv(name, "")  # so that it is set back
        del os.environ[name]
    found: list[bool] = []

    def run_program(*_: object, **__: object) -> int:
        found.append(Settings().server.services.triggers.enabled)
        return 0

    monkeypatch.setattr(start, "run_program", run_program)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert start.on_a_leash()
        assert not start.on_a_leash()  # the second process itself does the command
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == [False]
