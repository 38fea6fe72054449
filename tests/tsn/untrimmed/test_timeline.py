"""Spans of seconds, and how sure a second has to be."""

import numpy as np
import pytest

from tsn.recogniser.card import ReferenceScores
from tsn.untrimmed.timeline import Span, find_spans, least_sure, second_shares


def test_a_second_is_smoothed_with_its_neighbours() -> None:
    scores = np.log(np.array([[1, 1], [1, 8], [8, 1]], np.float32))
    # Means of logarithms: of 1 and 8 that of the root of 8; of 1, 8 and 1 that of 2.
    expected = [[1 / (1 + 8**0.5)], [0.5], [0.5]]
    assert second_shares(scores)[:, :1] == pytest.approx(np.array(expected))


def test_spans_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [0.2, 0.8]])
    found = find_spans(shares, 0.7)
    assert [(s.start, s.end, s.label) for s in found] == [(0, 2, 0), (2, 3, None), (3, 6, 1)]
    assert [s.share for s in found] == pytest.approx([0.8, 0.6, 2.5 / 3])


def test_nothing_is_sure_in_one_span() -> None:
    assert find_spans(np.full((4, 2), 0.5), 0.7) == [Span(start=0, end=4, label=None, share=0.5)]


def references(shares: list[float], labels: list[int]) -> ReferenceScores:
    scores = np.log(np.array([[share, 1 - share] for share in shares], np.float32))
    count = len(shares)
    return ReferenceScores(
        classes=("a", "b"),
        videos=("v",) * count,
        sha256=("0",) * count,
        labels=np.array(labels),
        scores=scores,
    )


def test_nine_of_ten_right_test_videos_are_as_sure() -> None:
    shares = [0.6 + 0.03 * n for n in range(11)]
    wrong = [0.51, 0.52, 0.53]
    found = least_sure(references(shares + wrong, [0] * 11 + [1] * 3))
    assert found == pytest.approx(0.63, abs=1e-6)


def test_without_a_right_test_video_no_second_is_sure() -> None:
    assert least_sure(references([0.9], [1])) == 1
