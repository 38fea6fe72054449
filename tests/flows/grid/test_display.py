"""What the terminal shows of a grid."""

import json
from pathlib import Path

import pytest

from flows.grid.cells import CellState, Outcome
from flows.grid.display import MOST_LINES, TerminalProgress, read_progress
from flows.grid.queue import GridState


def test_progress_tells_what_starts_and_ends_and_how_far_a_training_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.grid.display.SECONDS_BETWEEN_LINES", -1.0)
    status = {"done": 30, "total": 90, "loss": 0.5, "rate": 2.0, "link": "http://x"}
    (tmp_path / ".tsn/status").mkdir(parents=True)
    (tmp_path / ".tsn/status/train@a.json").write_text(json.dumps(status))
    show = TerminalProgress(tmp_path)
    show(GridState(running=("train@a", "fuse"), outcomes=(), queued=("c",)))
    ended = Outcome(
        cell="fuse",
        state=CellState.RAN,
        seconds=0.0,
        attempts=2,
        reason="",
        link="http://x",
        told=tuple(f"line {number}" for number in range(MOST_LINES + 2)),
    )
    show(GridState(running=(), outcomes=(ended,), queued=()))
    assert capsys.readouterr().err.splitlines() == [
        "train@a: started",
        "fuse: started",
        "train@a: 30 of 90, loss 0.500, 2.0 a second, 0.5 min left",
        "[1 of 1] fuse: ran in 0.0 s, 2 attempts",
        "    2 lines before: .tsn/logs/fuse.log",
        *(f"    line {number}" for number in range(2, MOST_LINES + 2)),
        "cells: 1 ran",
    ]
    assert read_progress({"done": 1}) is None
