"""Fusion weights that are fitted: what they come to, and on which videos."""

from dataclasses import replace

import numpy as np
import pytest

from tsn.scoring.fusion import weighted_sum
from tsn.scoring.learned import NothingToFitError, fit_splits, fit_weights, held_out_scores
from tsn.scoring.scores import ScoreError, VideoScores

CLASSES = 3
LABELS = np.arange(120) % CLASSES


def knowing(of: tuple[int, ...], strength: float = 2.0, *, seed: int = 1) -> np.ndarray:
    """Return scores (120, 3) that tell the classes `of` from the others, and noise."""
    scores = np.random.default_rng(seed).normal(size=(len(LABELS), CLASSES))
    for label in of:
        scores[label == LABELS, label] += strength
    return scores.astype(np.float32)


def cell(split: int, modality: str, videos: list[str], scores: np.ndarray) -> VideoScores:
    return VideoScores(
        dataset="d",
        split=split,
        modality=modality,
        model="m",
        fingerprint="f",
        classes=("a", "b", "c"),
        videos=tuple(videos),
        labels=np.array([int(video) % CLASSES for video in videos]),
        snippets=scores[:, None],
        scores=scores,
    )


def test_what_knows_nothing_has_little_weight_and_what_knows_more_has_more() -> None:
    scores = {
        "noise": knowing((), seed=1),
        "some": knowing((0,), seed=2),
        "all": knowing((0, 1, 2), 3.0, seed=3),
    }
    weights = fit_weights(scores, LABELS)
    assert weights["all"] == 1.0
    assert 0 <= weights["noise"] < 0.15 < weights["some"] < 1.0


def test_two_halves_of_the_knowledge_weigh_alike_and_beat_each_alone() -> None:
    scores = {"first": knowing((0, 1), seed=1), "second": knowing((2, 1), seed=2)}
    weights = fit_weights(scores, LABELS)
    assert min(weights.values()) > 0.7
    fused = weighted_sum(scores, weights).argmax(axis=1)
    alone = [(of.argmax(axis=1) == LABELS).mean() for of in scores.values()]
    assert (fused == LABELS).mean() > max(alone)


def test_weights_do_not_depend_on_the_scale_of_the_scores_but_for_its_inverse() -> None:
    scores = {"first": knowing((0, 1), seed=1), "second": knowing((2, 1), seed=2)}
    weights = fit_weights(scores, LABELS)
    louder = fit_weights({**scores, "second": 10 * scores["second"]}, LABELS)
    ratio = weights["second"] / weights["first"]
    assert louder["second"] / louder["first"] == pytest.approx(ratio / 10, rel=1e-3)


def test_worse_than_chance_is_not_turned_around() -> None:
    weights = fit_weights(
        {"good": knowing((0, 1, 2), seed=1), "inverted": -knowing((0, 1, 2), seed=2)}, LABELS
    )
    assert weights["good"] == 1.0
    assert weights["inverted"] == 0.0
    assert set(fit_weights({"a": -knowing((0, 1, 2))}, LABELS).values()) == {1.0}


def test_scores_that_are_always_the_same_have_no_weight() -> None:
    flat = np.ones((len(LABELS), CLASSES), np.float32) * np.arange(len(LABELS))[:, None]
    weights = fit_weights({"flat": flat.astype(np.float32), "good": knowing((0, 1, 2))}, LABELS)
    assert weights == {"flat": 0.0, "good": 1.0}
    assert fit_weights({"flat": flat, "too": flat}, LABELS) == {"flat": 1.0, "too": 1.0}


def test_training_videos_that_other_splits_test_are_what_is_fitted_on() -> None:
    def cells(split: int, videos: list[str]) -> dict[str, VideoScores]:
        rows = np.array([[split, int(video), 0] for video in videos], dtype=np.float32)
        return {name: cell(split, name, videos, rows + n) for n, name in enumerate(["rgb", "flow"])}

    splits = {1: cells(1, ["0", "1"]), 2: cells(2, ["2", "1"]), 3: cells(3, ["3", "2"])}
    scores, labels = held_out_scores(splits, 1, {"2", "3", "4"})
    assert scores["rgb"].tolist() == [[2, 2, 0], [3, 3, 0], [3, 2, 0]]  # 1 is a test video
    assert (scores["flow"] - scores["rgb"] == 1).all()
    assert labels.tolist() == [2, 0, 2]
    with pytest.raises(
        NothingToFitError, match="no other split's test list has videos that split 1"
    ):
        held_out_scores({1: splits[1]}, 1, {"2"})
    shuffled = {2: splits[2], 1: {n: replace(c, videos=("8", "9")) for n, c in splits[1].items()}}
    with pytest.raises(NothingToFitError, match="nothing to fit fusion weights on"):
        held_out_scores(shuffled, 1, {"7"})
    renamed = {n: replace(c, classes=("a", "b", "z")) for n, c in splits[2].items()}
    with pytest.raises(ScoreError, match="splits 1 and 2 are of other classes"):
        held_out_scores({1: splits[1], 2: renamed}, 1, {"2"})


def test_each_split_has_the_weights_that_the_others_tests_give() -> None:
    """In split 2 only the first modality knows the classes, in split 1 only the second."""
    videos = [str(number) for number in range(len(LABELS))]
    names = {1: [str(CLASSES * 1000 + int(video)) for video in videos], 2: videos}
    good, bad = knowing((0, 1, 2), seed=1), -knowing((0, 1, 2), seed=2)
    splits = {
        1: {"a": cell(1, "a", names[1], bad), "b": cell(1, "b", names[1], good)},
        2: {"a": cell(2, "a", names[2], good), "b": cell(2, "b", names[2], bad)},
    }
    weights = fit_splits(splits, {1: names[2], 2: names[1]})
    assert weights == {1: {"a": 1.0, "b": 0.0}, 2: {"a": 0.0, "b": 1.0}}
    alone = {split: {"a": cells["a"]} for split, cells in splits.items()}
    with pytest.raises(NothingToFitError, match="one modality alone"):
        fit_splits(alone, {1: names[2], 2: names[1]})
