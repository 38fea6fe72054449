"""What is said of two sides, by hand."""

from dataclasses import replace

import numpy as np
from result_rows import row

from stages.reporting.two_sides import Side, TwoSides
from tsn.metrics import Labels, Scores
from tsn.recogniser.comparison import compare
from tsn.recogniser.paired_tests import PairedTests

SIDE = Side(
    name="HEAD",
    what="git revision",
    settings={},
    knows_all_settings=True,
    headline="rgb",
    description="rgb",
    mean={"rgb": row(0.5)},
    splits={1: {"rgb": row(0.5)}},
    tests={},
    notes=(),
)


def two(a: Side, b: Side) -> TwoSides:
    return TwoSides(dataset="d", a=a, b=b, paired=None, comparison=None, unpaired="none")


def two_of(first: Scores, second: Scores, labels: Labels) -> TwoSides:
    """Two sides by their scores (V, 2) of the same test videos."""
    paired = PairedTests(
        splits=(1,), classes=("a", "b"), labels=labels, first=first, second=second, num_unpaired=0
    )
    comparison = compare(first, second, labels, ("a", "b"), 0.95)
    return replace(two(SIDE, SIDE), paired=paired, comparison=comparison)


def test_sides_of_other_splits_keep_their_names_and_their_own_means() -> None:
    other = replace(SIDE, name="Try_2", mean={"rgb": row(0.75)}, splits={2: {"rgb": row(0.75)}})
    found = two(SIDE, other)
    assert found.notes == [
        "The accuracies are of different splits: HEAD's are of split 1, Try_2's are of split 2"
    ]
    assert (found.metrics[0].a, found.metrics[0].b) == (0.5, 0.75)


def test_where_some_splits_are_shared_only_those_count() -> None:
    rows = {1: {"rgb": row(0.25)}, 2: {"rgb": row(0.75)}}
    found = two(SIDE, replace(SIDE, name="b", mean={"rgb": row(0.5)}, splits=rows))
    assert found.notes == ["The accuracies are of split 1, which both have"]
    assert (found.metrics[0].a, found.metrics[0].b) == (0.5, 0.25)


def test_equal_scores_are_told_as_such_and_others_as_undecided() -> None:
    scores, labels = np.eye(2)[[0, 1, 1, 0]], np.array([0, 1, 0, 1])
    said = [two_of(scores, other, labels).verdict for other in (scores, scores + 1.0)]
    assert said == [
        "Both gave the same scores.",
        "Which one is better cannot be told from these test videos.",
    ]


def test_as_many_videos_that_one_alone_has_right_are_a_tie() -> None:
    labels = np.array([0, 1, 0, 1])
    first, second = np.eye(2)[[0, 1, 1, 0]], np.eye(2)[[1, 0, 0, 1]]
    assert two_of(first, second, labels).test.endswith("Each alone is right on 2 videos: a tie.")
    same = two_of(first, first + 1.0, labels).test
    assert same.endswith("(paired bootstrap). They are right on the same videos.")
    told = two_of(first, np.eye(2)[[0, 1, 0, 0]], labels).test
    assert "HEAD alone is right on 0 videos, HEAD alone on 1: McNemar's test p = 1." in told
