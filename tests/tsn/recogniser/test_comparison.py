"""Comparisons: hand-worked counts, textbook values of McNemar's test, the naive bootstrap."""

import numpy as np
import pytest

from tsn.recogniser.comparison import (
    Comparison,
    PromotionRule,
    compare,
    gain_interval,
    objections,
)
from tsn.scoring.significance import mcnemar

CLASSES = ("a", "b")
RULE = PromotionRule(minimum_gain=0.0, maximum_class_loss=0.25, confidence=0.95)


def scores(predicted: list[int]) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[predicted]


def compared(champion: list[int], challenger: list[int], labels: list[int]) -> Comparison:
    return compare(scores(champion), scores(challenger), np.array(labels), CLASSES, 0.95)


def test_a_hand_worked_comparison() -> None:
    # Class a: champion 3 of 4, challenger 2 of 4. Class b: champion 0 of 2, challenger 2 of 2.
    found = compared([0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    assert found.champion == pytest.approx((3 / 4 + 0) / 2)
    assert found.challenger == pytest.approx((2 / 4 + 1) / 2)
    assert (found.only_champion, found.only_challenger) == (1, 2)
    assert [(row.name, row.videos, row.gain) for row in found.classes] == [
        ("a", 4, pytest.approx(-0.25)),
        ("b", 2, pytest.approx(1.0)),
    ]
    assert found.interval[0] <= found.gain <= found.interval[1]


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 2**5),
        (1, 5, 2 * (1 + 6) / 2**6),
        (5, 1, 2 * (1 + 6) / 2**6),
        (2000, 2000, 1.0),
    ],
)
def test_mcnemar_is_the_binomial_test_of_a_half(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p)


def test_the_interval_is_that_of_drawing_videos_again() -> None:
    """Against the bootstrap as it is written down: whole videos, drawn class by class."""
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [20, 30, 50])
    champion, challenger = generator.random((2, 100)) < [[0.6], [0.75]]
    gains = []
    for _ in range(4000):
        drawn = [
            generator.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in (0, 1, 2)
        ]
        gains.append(np.mean([challenger[d].mean() - champion[d].mean() for d in drawn]))
    low, high = gain_interval(champion, challenger, labels, 0.9)
    assert low == pytest.approx(np.quantile(gains, 0.05), abs=0.01)
    assert high == pytest.approx(np.quantile(gains, 0.95), abs=0.01)
    assert (low, high) == gain_interval(champion, challenger, labels, 0.9)


def test_equal_recognisers_have_no_gain_and_no_doubt() -> None:
    found = compared([0, 1, 1], [0, 1, 1], [0, 0, 1])
    assert (found.gain, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert objections(found, RULE) == []


def test_a_class_that_loses_more_than_the_margin_is_named() -> None:
    found = compared([0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    assert objections(found, RULE) == [
        "a loses 50.0% (100.0% to 50.0% of 4 videos), maximum_class_loss allows 25.0%"
    ]


def test_exactly_the_margin_and_the_minimum_are_allowed() -> None:
    found = compared([0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    assert objections(found, RULE) == []
    tight = PromotionRule(minimum_gain=0.375, maximum_class_loss=0.25, confidence=0.95)
    assert objections(found, tight) == []


def test_too_small_a_gain_is_told() -> None:
    rule = PromotionRule(minimum_gain=0.01, maximum_class_loss=1.0, confidence=0.95)
    assert objections(compared([0, 1], [0, 1], [0, 1]), rule) == [
        "gain +0.0%, minimum_gain asks for +1.0%"
    ]


def test_a_class_without_test_videos_counts_nowhere() -> None:
    found = compared([0, 0], [0, 1], [0, 0])
    assert [row.name for row in found.classes] == ["a"]
    assert found.champion == 1.0


def test_other_shapes_and_empty_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the same videos"):
        compare(scores([0]), scores([0, 1]), np.array([0]), CLASSES, 0.95)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(scores([]), scores([]), np.array([], dtype=int), CLASSES, 0.95)


@pytest.mark.parametrize(
    "change", [{"minimum_gain": 2.0}, {"maximum_class_loss": -0.1}, {"confidence": 1.0}]
)
def test_rules_that_cannot_be_meant_are_refused(change: dict[str, float]) -> None:
    values = {"minimum_gain": 0.0, "maximum_class_loss": 0.1, "confidence": 0.95, **change}
    with pytest.raises(ValueError, match=next(iter(change))):
        PromotionRule(**values)
