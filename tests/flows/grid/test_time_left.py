"""The time that a run still takes, worked by hand."""

from pathlib import Path

import pytest

from flows.grid.cells import CellState, Outcome
from flows.grid.time_left import Running, expected_seconds, seconds_left

EXPECTED = {"split@a": 10.0, "train@a-1": 20.0, "train@a-2": 20.0, "fuse@a": 5.0, "extract@a": 45.0}


def ended(cell: str, seconds: float, state: CellState = CellState.RAN) -> Outcome:
    return Outcome(cell=cell, state=state, seconds=seconds, attempts=1, reason="", link="")


def running(cell: str, seconds: float, left: float | None = None) -> Running:
    return Running(cell=cell, seconds=seconds, left=left)


def test_cells_take_longer_by_what_their_stage_took_longer() -> None:
    outcomes = [ended("split@a", 20.0), ended("train@a-1", 60.0)]  # factors 2 and 3, of all 80/30
    left = seconds_left(EXPECTED, outcomes, [], ["train@a-2", "fuse@a"], elapsed=80.0)
    assert left == pytest.approx(60.0 + 5.0 * 80 / 30)


def test_what_ran_at_once_goes_on_so() -> None:
    outcomes = [ended("split@a", 10.0), ended("train@a-1", 20.0)]  # 30 seconds of work in 15
    queued = ["train@a-2", "fuse@a"]
    assert seconds_left(EXPECTED, outcomes, [], queued, elapsed=15.0) == pytest.approx(12.5)


def test_no_less_than_what_a_running_cell_takes() -> None:
    outcomes = [ended("split@a", 10.0)]
    told = [running("extract@a", 10.0, left=70.0), running("train@a-1", 10.0)]
    assert seconds_left(EXPECTED, outcomes, told, [], elapsed=15.0) == pytest.approx(70.0)
    late = [running("train@a-1", 500.0)]
    assert seconds_left(EXPECTED, outcomes, late, [], elapsed=510.0) == pytest.approx(2.0)


def test_nothing_is_told_without_a_basis() -> None:
    queued = ["extract@a", "train@a-2"]
    restored = [ended("train@a-1", 1.0, CellState.RESTORED)]
    assert seconds_left(EXPECTED, restored, [], queued, elapsed=5.0) is None
    short = [ended("fuse@a", 5.0)]  # 5 of 70 seconds
    assert seconds_left(EXPECTED, short, [], queued, elapsed=5.0) is None
    unknown = [ended("train@a-1", 20.0)]
    assert seconds_left(EXPECTED, unknown, [], ["other@a"], elapsed=5.0) is None


def test_a_dataset_that_is_not_split_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("datasets: [a]\n")
    assert expected_seconds(tmp_path, ["train@a-1-rgb"]) is None
