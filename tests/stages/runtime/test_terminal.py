"""Colours only where they are seen and wanted."""

import io

import pytest

from stages.runtime.terminal import styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert styled("ran", "green", Terminal()) == "\x1b[32mran\x1b[0m"
    assert styled("ran", "green", io.StringIO()) == "ran"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("ran", "green", Terminal()) == "ran"
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert styled("ran", "green", Terminal()) == "ran"
