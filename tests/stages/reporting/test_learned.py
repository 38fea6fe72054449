"""What the networks have learned, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from toy_cells import FLOW, RGB

from stages.reporting.learned import (
    CLIPS_OF_PAIR,
    MOST_CLASSES,
    MOST_PAIRS,
    SUREST,
    JudgedClip,
    fusion_gains,
    judge,
    most_changing,
    most_confused,
    section,
    snippet_shares,
)


def clip(truth: str, taken: str, margin: float = 1.0, video: str = "x/1.avi") -> JudgedClip:
    return JudgedClip(split=1, video=video, truth=truth, taken=taken, margin=margin)


def test_a_clip_is_judged_by_its_two_best_scores() -> None:
    scores = np.array([[2, 1.5], [1, 3], [0, 0]], np.float32)
    first, second, third = judge(2, scores, RGB)
    assert first == JudgedClip(split=2, video="a/1", truth="a", taken="a", margin=0.5)
    assert (second.truth, second.taken, second.margin, second.right) == ("a", "b", 2.0, False)
    assert (third.truth, third.taken, third.margin) == ("b", "a", 0.0)  # equal: the first class


def test_pairs_are_counted_most_first_with_their_surest_clips_first() -> None:
    clips = [clip("a", "b", 0.1, "1"), clip("b", "a", 0.5, "2"), clip("a", "b", 0.7, "3")]
    clips += [clip("a", "a", 0.9, "4"), clip("b", "b", 0.2, "5")]
    first, second = most_confused(clips)
    assert (first.truth, first.taken, first.total) == ("a", "b", 3)
    assert [member.video for member in first.clips] == ["3", "1"]
    assert (second.truth, second.taken, second.total, len(second.clips)) == ("b", "a", 2, 1)


def test_without_a_mistake_a_sentence_says_so() -> None:
    found = section([clip("a", "a")], None, lambda _: "")
    assert found.notes == ["No test clip was taken for another class."]
    assert not found.confusions
    assert [group.title for group in found.surest] == ["Surest and right, a clip of each class"]


def test_without_a_success_a_sentence_says_so() -> None:
    found = section([clip("a", "b")], None, lambda _: "")
    assert found.notes == ["No test clip was taken for what it is."]
    assert [group.title for group in found.confusions] == ["a → b: 1 of 1"]
    assert [group.title for group in found.surest] == ["Surest and wrong"]


def test_of_101_classes_a_page_has_a_few_clips() -> None:
    names = [f"class {number}" for number in range(101)]
    asked: list[str] = []

    def picture(video: str) -> str:
        asked.append(video)
        return ""

    clips = [
        clip(names[i], names[(i + wrong * (1 + j % 3)) % 101], float(j), f"{i}/{j}")
        for i in range(101)
        for j in range(12)
        for wrong in (0, 1)
    ]
    found = section(clips, None, picture)
    assert len(found.confusions) == MOST_PAIRS
    assert all(len(group.tiles) == CLIPS_OF_PAIR for group in found.confusions)
    assert [len(group.tiles) for group in found.surest] == [SUREST, SUREST]
    assert len({tile.lines[0] for tile in found.surest[1].tiles}) == SUREST
    assert len(asked) == MOST_PAIRS * CLIPS_OF_PAIR + 2 * SUREST


def test_gains_are_over_the_modality_that_is_best_over_all_classes() -> None:
    rows = {"rgb": np.array([1.0, 0.0]), "flow": np.array([0.5, 0.75]), "both": np.array([1, 0.5])}
    found = fusion_gains(rows, ["a", "b"], "both", {"a": 2, "b": 4})
    assert found is not None
    assert found.table.header == ["", "videos", "rgb", "flow", "both", "gain"]
    assert found.table.rows == [
        ["a", "2", "100.0", "50.0", "100.0", "+50.0"],
        ["b", "4", "0.0", "75.0", "50.0", "-25.0"],
    ]
    assert "of both over flow, the best modality. 1 of 2 classes gain, 1 lose." in found.caption


def test_gains_of_many_classes_are_the_most_and_the_least() -> None:
    count = 101
    rows = {"rgb": np.zeros(count), "flow": np.full(count, 0.5), "both": np.linspace(0, 1, count)}
    names = [str(number) for number in range(count)]
    found = fusion_gains(rows, names, "both", dict.fromkeys(names, 1))
    assert found is not None
    shown = [row[0] for row in found.table.rows]
    assert shown == [*map(str, range(100, 90, -1)), *map(str, range(9, -1, -1))]
    assert len(shown) == MOST_CLASSES and "The 10 that gain most" in found.caption


def test_nothing_is_gained_where_nothing_is_fused() -> None:
    rows = {name: np.array([1.0, 0.5]) for name in ("rgb", "flow", "rgb_diff")}
    assert fusion_gains({"rgb": rows["rgb"]}, ["a", "b"], "rgb", {}) is None
    assert fusion_gains(rows, ["a", "b"], "rgb", {"a": 1, "b": 1}) is None  # one stream leads


def test_a_class_that_nothing_tests_gains_nothing() -> None:
    nan = float("nan")
    rows = {
        "rgb": np.array([0.5, nan, 0.5]),
        "flow": np.array([0.5, nan, 1.0]),
        "both": np.array([1.0, nan, 1.0]),
    }
    found = fusion_gains(rows, ["a", "b", "c"], "both", {"a": 2, "b": 0, "c": 2})
    assert found is not None
    assert [row[0] for row in found.table.rows] == ["a", "c"]
    assert "of both over flow, the best modality. 1 of 2 classes gain, 0 lose." in found.caption


def test_the_shares_of_snippets_are_of_the_weighted_sum() -> None:
    rgb = replace(RGB, snippets=np.array([[[0, 0], [2, 0]]], np.float32))
    flow = replace(FLOW, snippets=np.array([[[0, 1], [0, 1]]], np.float32))
    shares = snippet_shares({"rgb": rgb, "flow": flow}, {"rgb": 1.0, "flow": 2.0})
    assert shares.shape == (1, 2, 2)
    assert shares[0, 1].tolist() == pytest.approx([0.5, 0.5])
    assert shares[0, 0, 1] == pytest.approx(1 / (1 + np.exp(-2)))


def test_the_video_that_is_shown_changes_most() -> None:
    steady, weak = [[0.9, 0.1], [0.9, 0.1]], [[0.6, 0.4], [0.4, 0.6]]
    strong = [[0.9, 0.1], [0.1, 0.9]]
    assert most_changing(np.array([steady, weak, strong, steady])) == 2
    assert most_changing(np.array([steady])) == 0
    assert most_changing(np.array([steady])[:, :1]) == 0  # one snippet
