"""report: the page of a dataset some of whose modalities are run, and by what its run is found."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_cells import BASELINE_SCORES, FLOW, LISTED, RGB

from stages import fuse, report
from stages.report import run_key
from stages.reporting.results import Row
from tsn.files import write_csv
from tsn.lists import SplitLists, write_splits
from tsn.scoring.scores import VideoScores, save_scores
from tsn.splits.leakage import Findings, write_leaks
from tsn.splits.survey import Facts, write_facts

ROW = Row(mean_class_accuracy=0.5, top1=0.5, top5=1.0, by_tag={})
RECIPE = """
fusion:
  headline: all
  combinations:
    all: {rgb: 1.0, flow: 1.5, warped_flow: 0.5}
    two: {rgb: 1.0, flow: 1.5}
"""
FACTS = Facts(
    width=320, height=240, frames_per_second=25.0, counted=50, frames=50, hashes=(), defect=""
)


def test_a_run_is_found_by_the_numbers_of_every_split() -> None:
    better = Row(mean_class_accuracy=0.6, top1=0.5, top5=1.0, by_tag={})
    keys = [
        run_key({1: {"rgb": ROW}, 2: {"rgb": ROW}}),
        run_key({1: {"rgb": ROW}}),
        run_key({1: {"rgb": ROW}, 2: {"rgb": better}}),
    ]
    assert len({key["fingerprint"] for key in keys}) == 3


def write_cells(modalities: Sequence[str], baseline: VideoScores = BASELINE_SCORES) -> None:
    """Write what the stages before fuse do, of one split of the dataset `d`."""
    Path("params.yaml").write_text(f"splits: [1]\nmodalities: [{', '.join(modalities)}]\n")
    Path("recipes").mkdir()
    Path("recipes/d.yaml").write_text(RECIPE)
    listed = tuple(LISTED)
    write_splits(SplitLists(classes=("a", "b"), train={1: listed}, test={1: listed}), Path("lists"))
    write_facts(Path("lists/survey.csv"), {row.video: FACTS for row in listed})
    write_leaks(Path("lists/leaks.csv"), {1: Findings([], [])})
    Path("lists/classes.jpg").write_bytes(b"jpeg")
    Path("plots/1/training").mkdir(parents=True)
    Path("plots/look.png").write_bytes(b"png")
    save_scores(baseline, Path("scores/baseline.npz"))
    for cell in (RGB, FLOW):
        name = cell.modality
        save_scores(cell, Path(f"scores/{name}.npz"))  # that of one left out may still be there
        log = {"iteration": [1, 2], "loss": [2.0, 1.0], "accuracy": [0.5, 1.0], "lr": [0.1, 0.01]}
        pd.DataFrame(log).to_csv(f"plots/1/training/{name}.csv", index=False)
        write_csv(Path(f"quarantine/{name}.csv"), ("video", "reason"), [])


def fuse_and_report() -> None:
    """Run the two stages on what `write_cells` wrote."""
    fuse.main(
        fuse.Options(
            dataset="d",
            split=1,
            list=Path("lists/1/test.csv"),
            scores=Path("scores"),
            metrics=Path("metrics/split1.json"),
            plots=Path("plots/1"),
        )
    )
    report.main(
        report.Options(
            dataset="d",
            metrics=Path("metrics"),
            plots=Path("plots"),
            lists=Path("lists"),
            quarantine=Path("quarantine"),
            mean=Path("metrics/mean.json"),
            out=Path("report"),
        )
    )


@pytest.mark.parametrize("modalities", [["rgb"], ["rgb", "flow"]])
def test_modalities_that_are_left_out_are_named_and_nothing_else_asks_for_them(
    modalities: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TSN_TRACKING", "off")
    write_cells(modalities)
    fuse_and_report()
    row = "+".join(modalities)
    rows = dict.fromkeys([*modalities, row, "baseline"])
    for name in ("split1", "mean"):
        assert list(json.loads(Path(f"metrics/{name}.json").read_text())) == list(rows)
    table = pd.read_csv("plots/1/accuracy.csv")
    assert list(table) == ["name", "mean_class_accuracy", "top1", "top5", "long", "pan", "still"]
    first = table.iloc[0]
    assert (first["mean_class_accuracy"], first["pan"]) == (0.75, 0.5)
    said = capsys.readouterr().out
    assert "d split 1: not run: rgb+flow+warped_flow (" in said
    assert f"d split 1: {row} " in said
    text = Path("report/table.txt").read_text()
    assert re.search(rf"^{re.escape(row)} \*", text, re.MULTILINE)
    assert f"The result is {row}: the recipe's, rgb+flow+warped_flow, is not run." in text
    lacking = [name for name in ("flow", "warped_flow") if name not in modalities]
    verb = "are" if len(lacking) > 1 else "is"
    note = f"Not run: rgb+flow+warped_flow ({', '.join(lacking)} {verb} not among modalities)."
    for name in ("table.txt", "table.md", "index.html"):
        shown = Path("report", name).read_text()
        assert note in shown
        assert ("Not run: rgb+flow (" in shown) == (modalities == ["rgb"])


def test_the_baseline_has_a_row_apart_or_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """RGB has one of two videos of class a right and that of class b, the baseline all of a."""
    monkeypatch.setenv("TSN_TRACKING", "off")
    for name in ("run", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "run")
    write_cells(["rgb"])
    fuse_and_report()
    text = Path("report/table.txt").read_text()
    assert re.search(r"^rgb \* .*\n\nbaseline +50\.0 ", text, re.MULTILINE)
    assert "rgb beats it: +25.0 points." in text
    assert list(pd.read_csv("plots/1/per_class.csv")["baseline"]) == [1.0, 0.0]
    monkeypatch.chdir(tmp_path / "scratch")
    empty = np.zeros((0, 2), np.float32)
    labels = np.zeros(0, np.int64)
    write_cells(
        ["rgb"], replace(BASELINE_SCORES, videos=(), labels=labels, snippets=empty, scores=empty)
    )
    fuse_and_report()
    why = "the recipe trains from scratch: there are no initial weights to take"
    assert f"d split 1: not run: baseline ({why})" in capsys.readouterr().out
    assert list(json.loads(Path("metrics/mean.json").read_text())) == ["rgb"]
    assert f"Not run: baseline ({why})." in Path("report/table.txt").read_text()
