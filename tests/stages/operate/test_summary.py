"""The lines at the end of a run, from a result that is made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from workspace import ROOT, copy_project, edit

from stages.operate.summary import first_answer, summary
from tsn.files import write_csv
from tsn.lists import SURVEY, ListedVideo, SplitLists, write_splits
from tsn.scoring.scores import BASELINE, VideoScores, save_scores
from tsn.sources.folder import CHECKSUM_COLUMNS

CLASSES = ("jump", "run")
TEST = tuple(ListedVideo(f"{CLASSES[n // 5]}/{n}.avi", n // 5, "", ()) for n in range(10))
TRAIN = tuple(ListedVideo(f"{CLASSES[n % 2]}/t{n}.avi", n % 2, "", ()) for n in range(8))
TAKEN = ["jump"] * 5 + ["jump"] * 2 + ["run"] * 3  # two of five runs are wrong


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the lists of `mine` in one split."""
    copy_project(ROOT, tmp_path, ("recipes", "params.yaml"))
    (tmp_path / "recipes/weizmann.yaml").rename(tmp_path / "recipes/mine.yaml")
    edit(tmp_path / "params.yaml", "datasets", ["mine"])
    edit(tmp_path / "params.yaml", "splits", [1])
    folder = tmp_path / "data/mine"
    write_splits(SplitLists(classes=CLASSES, train={1: TRAIN}, test={1: TEST}), folder / "splits")
    write_csv(folder / "splits" / SURVEY, ("video", "frames"), [(row.video, 50) for row in TEST])
    write_csv(folder / "videos.csv", CHECKSUM_COLUMNS, [(row.video, 9, "x") for row in TEST])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_result(project: Path, accuracies: dict[str, float], taken: list[str]) -> None:
    rest = {"top1": 0.5, "top5": 1.0, "by_tag": {}, "spread": 0.0}
    rows = {name: {"mean_class_accuracy": value, **rest} for name, value in accuracies.items()}
    (project / "metrics/mine").mkdir(parents=True, exist_ok=True)
    (project / "metrics/mine/mean.json").write_text(json.dumps(rows))
    lines = [(row.video, CLASSES[row.label], name) for row, name in zip(TEST, taken, strict=True)]
    write_csv(project / "plots/mine/1/confusion.csv", ("video", "actual", "predicted"), lines)


def text(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def test_a_stream_that_beats_the_fusion_is_told(project: Path) -> None:
    write_result(project, {"rgb": 0.9, "flow": 0.5, "three_stream": 0.8, "learned": 0.85}, TAKEN)
    said = text(summary("mine"))
    assert (
        "three_stream 80.0 % mean class accuracy (95 % interval 49 to 94 %, 10 test clips" in said
    )
    assert "chance is 50 %" in said and "best stream rgb 90.0 %" in said
    assert "mixed up most run taken for jump (2 of 5 clips)" in said
    assert "rgb alone is 10.0 points better than three_stream" in said
    assert "the page has what to write under fusion in recipes/mine.yaml" in said
    assert "reports/mine/index.html" in said and "test more clips" in said
    assert "\x1b" not in said


def test_a_stream_that_beats_the_headline_stream_is_told_without_the_page(project: Path) -> None:
    edit(project / "recipes/mine.yaml", "fusion.headline", "flow")
    write_result(project, {"rgb": 0.9, "flow": 0.5}, TAKEN)
    said = text(summary("mine"))
    assert "rgb alone is 40.0 points better than flow: write it as fusion.headline into" in said
    assert "the page has what" not in said  # it advises of fusions alone


def test_a_class_that_is_thin_where_it_is_tested_is_told_so(project: Path) -> None:
    few = TEST[:6]  # one run
    lists = SplitLists(classes=CLASSES, train={1: TRAIN}, test={1: few})
    write_splits(lists, project / "data/mine/splits")
    write_result(project, {"rgb": 0.9, "three_stream": 0.8}, TAKEN)
    assert "add clips of run (4 to train, 1 to test in split 1)" in text(summary("mine"))


def test_a_result_no_better_than_the_baseline_is_told(project: Path) -> None:
    write_result(project, {"rgb": 0.7, "three_stream": 0.8, BASELINE: 0.8}, TAKEN)
    said = text(summary("mine"))
    assert "baseline, without training, 80.0 %" in said
    assert "training has not beaten the baseline" in said


def test_where_all_is_right_nothing_is_to_be_tried(project: Path) -> None:
    right = [CLASSES[row.label] for row in TEST]
    write_result(project, {"rgb": 0.9, "three_stream": 1.0}, right)
    said = text(summary("mine"))
    assert "mixed up" not in said and "100.0 %" in said
    assert "try next test more clips: the interval is wide" in said  # ten of ten may be 72 %


def test_a_result_of_other_modalities_or_none_has_no_summary(project: Path) -> None:
    assert summary("mine") == []
    write_result(project, {"rgb": 0.7}, TAKEN)
    assert summary("mine") == []  # the headline is not among them


def save_baseline(taken: list[int], videos: tuple[str, ...]) -> None:
    scores = np.eye(2, dtype=np.float32)[taken].reshape(-1, 2)
    save_scores(
        VideoScores(
            dataset="mine",
            split=1,
            modality=BASELINE,
            model="m",
            fingerprint="f",
            classes=CLASSES,
            videos=videos,
            labels=np.array([row.label for row in TEST][: len(videos)], dtype=np.int64),
            snippets=scores[:, np.newaxis],
            scores=scores,
        ),
        Path("scores/mine/1/baseline.npz"),
    )


def test_a_first_answer_says_what_it_is() -> None:
    save_baseline([0] * 7 + [1] * 3, tuple(row.video for row in TEST))
    said = text(first_answer("mine", 1, "rgb"))
    assert "first answer baseline 80.0 % mean class accuracy (95 % interval 49 to 94 %" in said
    assert (
        "tf_efficientnet_lite0's features of 3 rgb snippets a clip, with ImageNet weights" in said
    )
    assert "no network was trained on the clips" in said and "split 1 alone" in said
    assert "trains networks of rgb, rgb_diff, flow, warped_flow on split 1" in said


def test_without_initial_weights_there_is_no_first_answer() -> None:
    save_baseline([], ())
    with pytest.raises(ValueError, match="no first answer, as its recipe trains from scratch"):
        first_answer("mine", 1, "rgb")
