"""Metrics by hand, and against a count written out in loops."""

import numpy as np
import pytest

from tsn.metrics import accuracy, confusion_matrix, per_class_accuracy, top_k

# Six videos of three classes: 4 of class 0 (3 right), 1 of class 1 (right), 1 of class 2 (wrong).
LABELS = np.array([0, 0, 0, 0, 1, 2])
SCORES = np.array(
    [[9, 1, 0], [9, 1, 0], [5, 4, 0], [1, 9, 0], [1, 9, 0], [9, 1, 8]], dtype=np.float32
)


def test_mean_class_accuracy_weighs_classes_not_videos() -> None:
    result = accuracy(SCORES, LABELS)
    assert result.mean_class_accuracy == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert result.top1 == pytest.approx(4 / 6)
    assert per_class_accuracy(SCORES, LABELS).tolist() == [0.75, 1.0, 0.0]


def test_class_without_test_videos_is_left_out_of_the_mean() -> None:
    scores = np.hstack([SCORES, np.full((6, 1), -1, np.float32)])
    assert np.isnan(per_class_accuracy(scores, LABELS)[3])
    assert accuracy(scores, LABELS) == accuracy(SCORES, LABELS)


@pytest.mark.parametrize(
    ("label", "k", "expected"), [(3, 1, 1.0), (1, 1, 0.0), (1, 2, 1.0), (5, 5, 1.0), (0, 5, 0.0)]
)
def test_top_k_by_hand(label: int, k: int, expected: float) -> None:
    scores = np.array([[0.0, 0.8, 0.6, 0.9, 0.5, 0.4]], dtype=np.float32)  # order 3 1 2 4 5 0
    assert top_k(scores, np.array([label]), k) == expected


def test_top5_of_fewer_classes_is_always_right() -> None:
    assert accuracy(SCORES, LABELS).top5 == 1.0
    assert accuracy(np.zeros((2, 2), np.float32), np.array([0, 1])).top5 == 1.0


def test_of_equal_scores_the_lower_class_wins_everywhere() -> None:
    tied = np.zeros((2, 3), np.float32)
    labels = np.array([0, 1])
    assert top_k(tied, labels, 1) == 0.5
    assert confusion_matrix(tied, labels).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_confusions_by_hand() -> None:
    assert confusion_matrix(SCORES, LABELS).tolist() == [[3, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_all_metrics_equal_a_count_in_loops() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 7, size=200)
    scores = generator.normal(size=(200, 7)).astype(np.float32)
    counts = [[0] * 7 for _ in range(7)]
    top5 = 0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        ranking = sorted(range(7), key=lambda c: -row[c])
        counts[label][ranking[0]] += 1
        top5 += label in ranking[:5]
    classes = [counts[c][c] / sum(counts[c]) for c in range(7)]
    result = accuracy(scores, labels)
    assert confusion_matrix(scores, labels).tolist() == counts
    assert result.mean_class_accuracy == pytest.approx(sum(classes) / 7)
    assert result.top1 == pytest.approx(sum(counts[c][c] for c in range(7)) / 200)
    assert result.top5 == pytest.approx(top5 / 200)
