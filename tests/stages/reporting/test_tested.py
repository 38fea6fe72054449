"""What stands behind an accuracy, against hand-worked numbers and SciPy's."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from toy_cells import LISTED, RGB

from stages.reporting.tested import VideoCounts, count_tested, wilson_interval


@pytest.mark.parametrize(("right", "count"), [(0, 6), (4, 6), (6, 6), (175, 180), (1, 1)])
def test_wilsons_interval_is_that_of_scipy(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(method="wilson")
    found = wilson_interval(right / count, count)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_six_of_six_are_no_certainty() -> None:
    low, high = wilson_interval(1.0, 6)
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 6)) and high == 1.0


def test_a_mean_over_uneven_classes_is_worth_fewer_videos() -> None:
    """1/4 (1/2 + 1/8) of the variance of one video, that of 6.4; a class without any counts not."""
    uneven = VideoCounts(splits={1: 10}, classes={"a": 2, "b": 8, "c": 0}, tags={})
    assert (uneven.videos, uneven.weight) == (10, pytest.approx(6.4))
    assert VideoCounts(splits={1: 8}, classes={"a": 4, "b": 4}, tags={}).weight == 8


def test_a_video_that_two_splits_test_counts_once() -> None:
    """And what the list has, but no modality could score, not at all."""
    second = replace(RGB, split=2, videos=("a/1", "b/2"), labels=np.array([0, 1]))
    unscored = replace(LISTED[0], video="b/9", tags=("still", "rain"))
    found = count_tested({1: RGB, 2: second}, {1: [*LISTED, unscored], 2: [LISTED[1]]})
    assert found.splits == {1: 3, 2: 2}
    assert found.classes == {"a": 2, "b": 2}
    assert found.tags == {"long": 1, "pan": 2, "still": 1}
    assert found.few and found.videos == 4
