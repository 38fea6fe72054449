"""What `tsn check` says of a run to come."""

from pathlib import Path

import pytest
from workspace import ROOT, copy_project

from flows.grid.forecast import Forecast, describe, forecast
from flows.grid.time_left import cell_of
from stages.operate.clips import Clips
from stages.operate.cost import Cell
from stages.runtime import params
from tsn.lists import ListedVideo, SplitLists


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train@mine-1-rgb_diff", ("mine", Cell(stage="train", split=1, modality="rgb_diff"))),
        ("extract@my-clips-flow", ("my-clips", Cell(stage="extract", modality="flow"))),
        ("fuse@my-clips-2", ("my-clips", Cell(stage="fuse", split=2))),
        ("report@mine", ("mine", Cell(stage="report"))),
        ("selection", None),
        ("report@other", None),
    ],
)
def test_a_cell_is_known_by_its_name(name: str, found: tuple[str, Cell] | None) -> None:
    assert cell_of(name, ["mine", "my", "my-clips"]) == found


def listed(label: int, count: int) -> tuple[ListedVideo, ...]:
    return tuple(ListedVideo(f"{label}/{n}.avi", label, "", ()) for n in range(count))


def test_a_forecast_says_how_much_is_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("flows.grid.forecast.count_cores", lambda: 2)
    monkeypatch.setattr("flows.grid.forecast.has_gpu", lambda: False)
    lists = SplitLists(
        classes=("run", "jump"),
        train={1: listed(0, 6) + listed(1, 3), 9: listed(0, 1)},  # params.yaml has no split 9
        test={1: listed(0, 2) + listed(1, 2), 9: listed(1, 1)},
    )
    cells = [Cell(stage="download"), Cell(stage="extract", modality="rgb"), Cell(stage="report")]
    found = Forecast(
        dataset="mine",
        cells=cells,
        up_to_date=4,
        clips=Clips(lists=lists, frames=250_000, bytes=2e9),
    )
    lines = describe(found, params.load_recipe("weizmann").values)
    assert lines[0] == "mine: 9 clips of 2 classes"
    assert lines[2].split() == ["1", "9", "3", "to", "6", "4", "2"]
    assert "    jump: 3 to train, 2 to test in split 1" in lines
    assert not any("split 9" in line or line.split()[:1] == ["9"] for line in lines)
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    # 250,000 frames of 280 x 224 in 153.4 s of a core, 4 s for the cell and 4 + 8 for the others
    assert rows["extract"] == ["1", "1", "min"]
    assert " ".join(rows["all"]) == "3 3 min on 2 cores"
    assert " ".join(rows["disk:"]).startswith("about 7.0 GB;")
    assert "  4 cells are up to date" in lines


def test_what_is_done_or_not_here_is_said() -> None:
    done = Forecast(dataset="mine", cells=[], up_to_date=42, clips=None)
    assert "all 42 cells are up to date" in "\n".join(describe(done, {}))
    coming = Forecast(dataset="mine", cells=[Cell(stage="train")], up_to_date=0, clips=None)
    lines = describe(coming, {})
    assert "its videos are not here yet, so how long it takes is not known" in lines[0]
    assert [line.split() for line in lines[1:]] == [
        ["to", "run", "cells"],
        ["train", "1"],
        ["all", "1"],
    ]


def test_a_dataset_that_is_not_chosen_would_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_project(ROOT, tmp_path, ("recipes", "params.yaml"))
    monkeypatch.chdir(tmp_path)
    (line,) = forecast(tmp_path, "weizmann")
    assert line == "weizmann is not among datasets of params.yaml, so nothing of it would run"
