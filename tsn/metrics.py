"""Recognition metrics over the test videos of a split. Scores are (V, C), labels (V,)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Accuracy:
    """Fractions in 0..1. The papers report the mean over classes of each class's accuracy."""

    mean_class_accuracy: float
    top1: float
    top5: float


def accuracy(scores: Scores, labels: Labels) -> Accuracy:
    """Return mean per-class accuracy, top-1 and top-5 (of all classes where there are fewer)."""
    return Accuracy(
        mean_class_accuracy=float(np.nanmean(per_class_accuracy(scores, labels))),
        top1=top_k(scores, labels, 1),
        top5=top_k(scores, labels, 5),
    )


def per_class_accuracy(scores: Scores, labels: Labels) -> npt.NDArray[np.float64]:
    """Return each class's accuracy, shape (C,); nan for a class without test videos."""
    num_classes = scores.shape[1]
    totals = np.bincount(labels, minlength=num_classes)
    right = np.bincount(labels[scores.argmax(axis=1) == labels], minlength=num_classes)
    shares = np.full(num_classes, np.nan)
    np.divide(right, totals, out=shares, where=totals > 0)
    return shares


def top_k(scores: Scores, labels: Labels, k: int) -> float:
    """Return how often the label is among the k highest scores; of equals the lower class wins."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def confusion_matrix(scores: Scores, labels: Labels) -> npt.NDArray[np.int64]:
    """Return counts (C, C): row true class, column predicted class."""
    from sklearn.metrics import confusion_matrix as count_confusions  # takes seconds to load

    classes = np.arange(scores.shape[1])
    counts: npt.NDArray[np.int64] = count_confusions(labels, scores.argmax(axis=1), labels=classes)
    return counts
