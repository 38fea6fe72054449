"""M-TWI and average precision, against numbers worked by hand."""

import numpy as np
import pytest

from tsn.untrimmed.windows import (
    average_precisions,
    top_mean,
    window_maxima,
    window_starts,
    windowed_score,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


@pytest.mark.parametrize(
    ("length", "starts"),
    [(1, [0, 1, 2]), (2, [0, 2]), (4, [0]), (8, [0])],
)
def test_windows_of_three_seconds(length: int, starts: list[int]) -> None:
    assert list(window_starts(length, 3)) == starts


def test_strides_are_four_fifths_rounded_up() -> None:
    assert [window_starts(length, 99).step for length in (1, 2, 4, 8, 16)] == [1, 2, 4, 7, 13]


def test_the_largest_inside_a_window_also_one_cut_short() -> None:
    assert window_maxima(column(1, 5, 2, 0, 3), 2).tolist() == [[5], [2], [3]]


def test_the_mean_of_the_largest_fifteen_or_of_a_quarter() -> None:
    assert top_mean(column(*range(10))) == pytest.approx([4.5])  # all
    assert top_mean(column(*range(20))) == pytest.approx([12])  # 5 to 19
    assert top_mean(column(*range(61))) == pytest.approx([52.5])  # 16 of them: 45 to 60


def test_a_second_of_a_hundred_counts_for_more_than_in_the_mean() -> None:
    snippets = np.zeros((100, 2), np.float32)
    snippets[10, 1] = 1
    # Windows of 1, 2, 4, 8 and 16 s: 100, 50, 25, 15 and 8 of them, of which one has it.
    expected = (1 / 25 + 1 / 15 + 1 / 15 + 1 / 15 + 1 / 8) / 5
    assert windowed_score(snippets) == pytest.approx([0, expected])
    assert expected > 7 * snippets.mean(axis=0)[1]


def test_a_video_of_one_second_has_its_score() -> None:
    assert windowed_score(np.array([[3, -1]], np.float32)).tolist() == [3, -1]


def test_average_precision_by_hand() -> None:
    scores = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0.7, 0.8, 0]])
    shows = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
    found = average_precisions(scores, shows)
    assert found[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found[1] == 1 and np.isnan(found[2])
