"""The videos two recognisers meet on: by their bytes, and none that the champion was trained on."""

import numpy as np
import pytest

from tsn.metrics import Scores
from tsn.recogniser.card import ReferenceScores
from tsn.recogniser.shared_test import held_back_test_set, shared_test_set


def scores_of(**digests: int) -> ReferenceScores:
    """Test scores of videos named like their digests: (10 x the number, the number)."""
    numbers = list(digests.values())
    return ReferenceScores(
        classes=("a", "b"),
        videos=tuple(digests),
        sha256=tuple(f"sha-{name}" for name in digests),
        labels=np.array([number % 2 for number in numbers]),
        scores=np.array([[10 * number, number] for number in numbers], np.float32),
    )


def refuse(video: str) -> Scores:
    raise AssertionError(f"{video} need not be scored")


def test_equal_lists_meet_as_they_are_whatever_their_order() -> None:
    found = shared_test_set(scores_of(x=1, y=2), scores_of(y=7, x=8), frozenset(), refuse)
    assert found.champion.tolist() == [[20, 2], [10, 1]]
    assert found.challenger.tolist() == [[70, 7], [80, 8]]
    assert found.labels.tolist() == [1, 0]  # the challenger's list says what is right
    assert (found.num_scored, found.num_left_out) == (0, 0)


def test_a_new_test_video_is_scored_and_one_trained_on_is_left_out() -> None:
    def score(video: str) -> Scores:
        assert video == "new"
        return np.array([5, 6], np.float32)

    challenger = scores_of(x=1, new=2, trained=3)
    found = shared_test_set(scores_of(x=4), challenger, frozenset({"sha-trained"}), score)
    assert found.champion.tolist() == [[40, 4], [5, 6]]
    assert found.challenger.tolist() == [[10, 1], [20, 2]]
    assert (found.num_scored, found.num_left_out) == (1, 1)


def test_other_classes_cannot_be_compared() -> None:
    other = ReferenceScores(
        classes=("a", "c"),
        videos=(),
        sha256=(),
        labels=np.array([], np.int64),
        scores=np.zeros((0, 2), np.float32),
    )
    with pytest.raises(ValueError, match=r"know other classes \(\['b', 'c'\]\)"):
        shared_test_set(scores_of(x=1), other, frozenset(), refuse)


def test_videos_held_back_count_unless_either_was_trained_on_them_or_could_not_read_them() -> None:
    champion, challenger = scores_of(x=1, y=2, z=3, u=4), scores_of(z=7, y=8, x=9, v=6)
    found = held_back_test_set(champion, challenger, frozenset({"sha-x"}))
    assert found is not None and found.held_back
    assert found.champion.tolist() == [[30, 3], [20, 2]]
    assert found.challenger.tolist() == [[70, 7], [80, 8]]
    assert found.labels.tolist() == [1, 0]
    assert found.num_left_out == 2
    assert held_back_test_set(champion, challenger, frozenset({"sha-x", "sha-z"})) is None
