"""fuse: what it refuses to fuse, and the numbers of its rows, by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_cells import FLOW, LISTED, RGB

from stages.fuse import Options, load_cells, measure, refuse_foreign, run_key
from tsn.scoring.fusion import FusionConfig, left_out
from tsn.scoring.scores import ScoreError, save_scores

FUSION = FusionConfig(headline="both", combinations={"both": {"rgb": 1.0, "flow": 1.5}})


def options(folder: Path) -> Options:
    return Options(
        dataset="d",
        split=1,
        list=folder / "test.csv",
        scores=folder,
        metrics=folder / "split1.json",
        plots=folder / "plots",
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
            r"flow\.npz .* 1 videos that .* \(a/3\); run the score",
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
    short = replace(
        FLOW,
        videos=("a/1", "b/1"),
        labels=FLOW.labels[kept],
        snippets=FLOW.snippets[kept],
        scores=FLOW.scores[kept],
    )
    save_scores(RGB, tmp_path / "rgb.npz")
    save_scores(short, tmp_path / "flow.npz")
    (tmp_path / "test.csv").write_text("video,label,group,tags\na/1,0,,\na/2,0,,\nb/1,1,,\n")
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
    (tmp_path / "test.csv").write_text("video,label,group,tags\na/1,0,,\na/2,0,,\nb/1,1,,\n")
    with pytest.raises(ScoreError, match="of another classes"):
        load_cells(options(tmp_path), ["rgb", "flow"])


def test_a_run_is_found_by_its_scores_and_its_weights() -> None:
    cells = {"rgb": RGB, "flow": FLOW}
    weights = replace(FUSION, combinations={"both": {"rgb": 1.0, "flow": 1.0}})
    other = {"rgb": RGB, "flow": replace(FLOW, fingerprint="h")}
    keys = [run_key(1, FUSION, cells), run_key(1, weights, cells), run_key(1, FUSION, other)]
    assert keys[0] == run_key(1, FUSION, dict(cells))
    assert len({key["fingerprint"] for key in keys}) == 3
