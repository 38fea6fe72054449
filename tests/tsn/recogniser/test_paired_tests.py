"""Two results' test videos: which are paired, and in which order."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tsn.recogniser.card import ReferenceScores
from tsn.recogniser.paired_tests import pair_tests


def scores_of(videos: Sequence[str], start: int = 0) -> ReferenceScores:
    """Video `a` has label 0 and the scores (start, 0), `b` has label 1 and (start + 1, 0), ..."""
    places = [ord(video) - ord("a") for video in videos]
    return ReferenceScores(
        classes=("walk", "run"),
        videos=tuple(videos),
        sha256=tuple(f"digest of {video}" for video in videos),
        labels=np.array([place % 2 for place in places]),
        scores=np.array([[start + place, 0] for place in places], np.float32),
    )


def test_videos_are_paired_by_name_whatever_their_order() -> None:
    paired = pair_tests({1: scores_of("abc")}, {1: scores_of("dcb", 10)})
    assert paired.first[:, 0].tolist() == [1, 2]  # b, c: in the order of the first
    assert paired.second[:, 0].tolist() == [11, 12]
    assert paired.labels.tolist() == [1, 0]
    assert paired.num_unpaired == 2  # a of the first, d of the second


def test_shared_splits_stand_one_after_another() -> None:
    paired = pair_tests(
        {1: scores_of("ab"), 3: scores_of("c")}, {3: scores_of("c", 10), 1: scores_of("ab", 10)}
    )
    assert paired.splits == (1, 3)
    assert paired.second[:, 0].tolist() == [10, 11, 12]
    assert pair_tests({1: scores_of("ab"), 2: scores_of("c")}, {1: scores_of("ab")}).splits == (1,)


def test_another_file_or_label_of_the_same_name_is_no_pair() -> None:
    first, second = scores_of("abc"), scores_of("abc", 10)
    other = replace(second, sha256=("another", second.sha256[1], ""), labels=np.array([0, 0, 0]))
    paired = pair_tests({1: first}, {1: other})
    assert paired.first[:, 0].tolist() == [2]  # an unknown digest may be any
    assert paired.num_unpaired == 4


def test_other_splits_and_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tested on splits 1, the other on 2, 3: no test video"):
        pair_tests({1: scores_of("a")}, {2: scores_of("a"), 3: scores_of("a")})
    with pytest.raises(ValueError, match="the two know other classes: jump, run"):
        pair_tests({1: scores_of("a")}, {1: replace(scores_of("a"), classes=("walk", "jump"))})
