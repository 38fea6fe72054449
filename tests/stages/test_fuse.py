"""fuse: what it refuses to fuse, and the numbers of its rows, by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_cells import BASELINE_SCORES, FLOW, LISTED, RGB

from stages.fuse import Options, load_baseline, load_cells, refuse_foreign, run_key
from stages.reporting.results import measure
from tsn.scoring.fusion import FusionConfig, left_out
from tsn.scoring.scores import ScoreError, VideoScores, save_scores

FUSION = FusionConfig(
    headline="both", combinations={"both": {"rgb": 1.0, "flow": 1.5}}, learned=False
)
LIST = "video,label,group,tags\na/1,0,,\na/2,0,,\nb/1,1,,\n"


def options(folder: Path) -> Options:
    return Options(
        dataset="d",
        split=1,
        list=folder / "test.csv",
        scores=folder,
        metrics=folder / "split1.json",
        plots=folder / "plots",
    )


def only(cell: VideoScores, kept: list[int]) -> VideoScores:
    """Return the scores of some of a cell's videos."""
    return replace(
        cell,
        videos=tuple(cell.videos[index] for index in kept),
        labels=cell.labels[kept],
        snippets=cell.snippets[kept],
        scores=cell.scores[kept],
    )


def test_rows_by_hand() -> None:
    """Class a has one of two videos right, class b its only one."""
    (row,) = measure({"rgb": RGB.scores}, RGB, LISTED).values()
    assert row.mean_class_accuracy == pytest.approx(0.75)
    assert row.top1 == pytest.approx(2 / 3)
    assert row.top5 == 1.0
    assert row.by_tag == {"long": 1.0, "pan": 0.5, "still": 1.0}


def test_cells_of_one_split_are_taken_unless_one_of_their_videos_is_not_listed() -> None:
    cells = {"rgb": RGB, "flow": FLOW}
    refuse_foreign(cells, "d", 1, ["a/1", "a/2", "a/quarantined", "b/1"])
    with pytest.raises(ValueError, match=r"rgb\.npz .* 1 videos that .* \(b/1\)"):
        refuse_foreign(cells, "d", 1, ["a/1", "a/2", "a/quarantined"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": 2}, r"flow\.npz holds scores of d split 2 flow, expected d split 1 flow"),
        ({"dataset": "e"}, r"flow\.npz holds scores of e split 1 flow"),
        ({"modality": "rgb"}, r"flow\.npz holds scores of d split 1 rgb"),
        (
            {"videos": ("a/1", "a/3", "b/1")},
            r"flow\.npz .* 1 videos that .* \(a/3\); make the scores",
        ),
    ],
)
def test_foreign_scores_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_foreign({"rgb": RGB, "flow": replace(FLOW, **change)}, "d", 1, RGB.videos)


def test_every_row_stands_for_the_videos_that_all_modalities_have(
    tmp_path: Path,
) -> None:
    kept = [0, 2]
    short = only(FLOW, kept)
    save_scores(RGB, tmp_path / "rgb.npz")
    save_scores(short, tmp_path / "flow.npz")
    (tmp_path / "test.csv").write_text(LIST)
    cells = load_cells(options(tmp_path), ["rgb", "flow"])
    assert [cell.videos for cell in cells.values()] == [("a/1", "b/1")] * 2
    assert cells["rgb"].scores.tolist() == RGB.scores[kept].tolist()
    assert cells["rgb"].labels.tolist() == [0, 1]
    text = "1 of 3 test videos are left out of every row, as not every modality has them: a/2"
    listed = [row.video for row in LISTED]
    assert left_out(cells, listed) == text
    assert left_out({"rgb": RGB}, listed) == ""


def test_scores_of_another_class_list_are_refused(tmp_path: Path) -> None:
    save_scores(RGB, tmp_path / "rgb.npz")
    save_scores(replace(FLOW, classes=("b", "a")), tmp_path / "flow.npz")
    (tmp_path / "test.csv").write_text(LIST)
    with pytest.raises(ScoreError, match="of another classes"):
        load_cells(options(tmp_path), ["rgb", "flow"])


def test_the_baseline_is_measured_on_the_videos_of_the_modalities(tmp_path: Path) -> None:
    save_scores(BASELINE_SCORES, tmp_path / "baseline.npz")
    (tmp_path / "test.csv").write_text(LIST)
    found = load_baseline(options(tmp_path), {"rgb": only(RGB, [0, 2])})
    assert found["baseline"].videos == ("a/1", "b/1")


def test_a_baseline_of_fewer_videos_is_refused_and_takes_none_from_the_modalities(
    tmp_path: Path,
) -> None:
    save_scores(only(BASELINE_SCORES, [0, 2]), tmp_path / "baseline.npz")
    save_scores(RGB, tmp_path / "rgb.npz")
    (tmp_path / "test.csv").write_text(LIST)
    cells = load_cells(options(tmp_path), ["rgb"])
    assert cells["rgb"].videos == RGB.videos
    with pytest.raises(ScoreError, match=r"baseline are of another videos than .* rgb"):
        load_baseline(options(tmp_path), cells)


def test_a_baseline_that_was_not_run_has_no_row(tmp_path: Path) -> None:
    save_scores(only(BASELINE_SCORES, []), tmp_path / "baseline.npz")
    assert load_baseline(options(tmp_path), {"rgb": RGB}) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"headline": "baseline"},
        {"combinations": {"two": {"rgb": 1.0, "baseline": 1.0}}},
        {"combinations": {"baseline": {"rgb": 1.0, "flow": 1.0}}, "headline": "baseline"},
    ],
)
def test_the_baseline_is_no_member_of_a_fusion_nor_the_result(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="baseline"):
        replace(FUSION, **change)


def test_a_run_is_found_by_its_scores_and_its_weights() -> None:
    cells = {"rgb": RGB, "flow": FLOW}
    weights = replace(FUSION, combinations={"both": {"rgb": 1.0, "flow": 1.0}})
    other = {"rgb": RGB, "flow": replace(FLOW, fingerprint="h")}
    beside = {**cells, "baseline": BASELINE_SCORES}
    keys = [run_key(1, FUSION, found) for found in (cells, other, beside)]
    keys.append(run_key(1, weights, cells))
    assert keys[0] == run_key(1, FUSION, dict(cells))
    assert len({key["fingerprint"] for key in keys}) == 4
