"""The scores of one clip over time."""

import numpy as np

from stages.reporting.strip import MOST_CLASSES, rows_of


def test_the_true_class_comes_first_and_those_of_no_share_are_left_out() -> None:
    shares = np.array([[0.9, 0.06, 0.04, 0.0], [0.2, 0.7, 0.04, 0.06]])
    assert rows_of(shares, "abcd", "c") == [
        ("c", [4, 4]),
        ("a", [90, 20]),
        ("b", [6, 70]),
        ("d", [0, 6]),
    ]
    assert [name for name, _ in rows_of(shares, "abcd", "b")] == ["b", "a", "d"]


def test_of_many_classes_a_few_are_shown() -> None:
    assert len(rows_of(np.full((2, 10), 0.1), "abcdefghij", "j")) == MOST_CLASSES
