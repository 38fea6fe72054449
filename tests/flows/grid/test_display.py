"""What the terminal shows of a grid."""

import json
import re
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


def test_lines_tell_the_time_that_is_left_once_there_is_a_basis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text(
        "datasets: []\n"
        "machine: {device: cpu, processes: 1, threads: 1, workers: 1, checkpoint_seconds: 60}\n"
    )
    show = TerminalProgress(tmp_path)  # cells of no dataset cost the same each
    cells = [f"c{number}" for number in range(20)]
    show(GridState(running=("c0",), outcomes=(), queued=tuple(cells[1:])))
    ended: tuple[Outcome, ...] = ()
    for number, cell in enumerate(cells[:2]):
        ended += (
            Outcome(cell=cell, state=CellState.RAN, seconds=60.0, attempts=1, reason="", link=""),
        )
        show(
            GridState(
                running=(cells[number + 1],), outcomes=ended, queued=tuple(cells[number + 2 :])
            )
        )
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert lines[0] == "[1 of 20] c0: ran in 60.0 s"  # a twentieth of the work
    assert re.fullmatch(r"\[2 of 20, .* left\] c1: ran in 60.0 s", lines[1])
