"""Whether one recogniser is better than another on the same test videos, and by how much.

Scores are (V, C) of the same videos and classes, labels (V,). The comparison is paired: both
answer for the same videos, so what counts is where they differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsn.metrics import Labels, Scores, per_class_accuracy
from tsn.scoring.significance import mcnemar

RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class PromotionRule:
    """When a challenger takes the champion's place.

    minimum_gain: of mean class accuracy, as a fraction; 0 takes an equal one, too.
    maximum_class_loss: what no class may lose more than, as a fraction.
    confidence: of the gain's interval, which is told and decides nothing.
    """

    minimum_gain: float
    maximum_class_loss: float
    confidence: float

    def __post_init__(self) -> None:
        if not -1 <= self.minimum_gain <= 1:
            raise ValueError(f"minimum_gain is a fraction, got {self.minimum_gain}")
        if not 0 <= self.maximum_class_loss <= 1:
            raise ValueError(f"maximum_class_loss is a fraction, got {self.maximum_class_loss}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is between 0 and 1, got {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """One class's accuracy on its `videos`, before and after."""

    name: str
    videos: int
    champion: float
    challenger: float

    @property
    def gain(self) -> float:
        """Return what the challenger has more."""
        return self.challenger - self.champion


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean class accuracies, the gain with its bootstrap interval, and McNemar's test.

    only_champion, only_challenger: videos that one of the two alone has right.
    p_value: of McNemar's exact test, two-sided: how often equally good recognisers differ so.
    """

    videos: int
    champion: float
    challenger: float
    interval: tuple[float, float]
    confidence: float
    only_champion: int
    only_challenger: int
    p_value: float
    classes: tuple[ClassChange, ...]

    @property
    def gain(self) -> float:
        """Return what the challenger has more of mean class accuracy."""
        return self.challenger - self.champion


def compare(
    champion: Scores, challenger: Scores, labels: Labels, classes: Sequence[str], confidence: float
) -> Comparison:
    """Compare two recognisers' scores of the same videos.

    Raises ValueError when the shapes differ, or there is nothing to compare.
    """
    if champion.shape != challenger.shape or champion.shape != (len(labels), len(classes)):
        raise ValueError(
            f"scores of {champion.shape} and {challenger.shape} for {len(labels)} videos of "
            f"{len(classes)} classes: expected the same videos and classes in both"
        )
    if not len(labels):
        raise ValueError("no test video in common: there is nothing to compare on")
    right = [scores.argmax(axis=1) == labels for scores in (champion, challenger)]
    before, after = (per_class_accuracy(scores, labels) for scores in (champion, challenger))
    only_champion = int((right[0] & ~right[1]).sum())
    only_challenger = int((right[1] & ~right[0]).sum())
    sizes = np.bincount(labels, minlength=len(classes))
    return Comparison(
        videos=len(labels),
        champion=float(np.nanmean(before)),
        challenger=float(np.nanmean(after)),
        interval=gain_interval(right[0], right[1], labels, confidence),
        confidence=confidence,
        only_champion=only_champion,
        only_challenger=only_challenger,
        p_value=mcnemar(only_champion, only_challenger),
        classes=tuple(
            ClassChange(
                name=name,
                videos=int(sizes[label]),
                champion=float(before[label]),
                challenger=float(after[label]),
            )
            for label, name in enumerate(classes)
            if sizes[label]
        ),
    )


def gain_interval(
    champion_right: npt.NDArray[np.bool_],
    challenger_right: npt.NDArray[np.bool_],
    labels: Labels,
    confidence: float,
) -> tuple[float, float]:
    """Return the paired bootstrap's interval of the gain in mean class accuracy (percentiles).

    Videos are drawn again within each class, so that every class keeps its size. The draws are
    seeded: equal answers give an equal interval.
    """
    generator = np.random.default_rng(0)
    difference = challenger_right.astype(int) - champion_right.astype(int)
    gains = []
    for label in np.unique(labels):
        of_class = difference[labels == label]
        shares = [(of_class == step).mean() for step in (-1, 0, 1)]
        draws = generator.multinomial(len(of_class), shares, size=RESAMPLES)
        gains.append((draws[:, 2] - draws[:, 0]) / len(of_class))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.mean(gains, axis=0), [tail, 1 - tail])
    return float(low), float(high)


def objections(comparison: Comparison, rule: PromotionRule) -> list[str]:
    """Return why the rule does not let the challenger be promoted; empty when it does."""
    found = []
    if _less(comparison.gain, rule.minimum_gain):
        found.append(f"gain {comparison.gain:+.1%}, minimum_gain asks for {rule.minimum_gain:+.1%}")
    found += [
        f"{row.name} loses {-row.gain:.1%} ({row.champion:.1%} to {row.challenger:.1%} of "
        f"{row.videos} videos), maximum_class_loss allows {rule.maximum_class_loss:.1%}"
        for row in comparison.classes
        if _less(row.gain, -rule.maximum_class_loss)
    ]
    return found


def _less(value: float, limit: float) -> bool:
    """Return whether it is less by more than rounding: 0.7 - 0.6 is no less than 0.1."""
    return value < limit and not math.isclose(value, limit, abs_tol=1e-9)
