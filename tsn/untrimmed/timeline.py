"""What happens when in a long video, of its scores of every second. Letters: S second, C class."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from tsn.metrics import Scores
from tsn.recogniser.calibration import softmax
from tsn.recogniser.card import ReferenceScores

SMOOTHED = 3  # seconds: a mean of each with its neighbours
RECOGNISED = 0.9  # of the rightly recognised test videos are as sure as a second has to be

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Seconds in a row that show one class, or nothing that is sure (label None).

    `share` is the mean share of that class, and of the best one of each second where none is sure.
    """

    start: int
    end: int
    label: int | None
    share: float


def second_shares(scores: Scores) -> Shares:
    """Return the share of each class in every second, (S, C), of scores before softmax."""
    reach = SMOOTHED // 2
    means = [scores[max(0, s - reach) : s + reach + 1].mean(axis=0) for s in range(len(scores))]
    return softmax(np.stack(means))


def least_sure(tests: ReferenceScores) -> float:
    """Return the share that nine of ten rightly recognised test videos have for their class.

    1, which no second reaches, where none is recognised.
    """
    right = tests.scores.argmax(axis=1) == tests.labels
    if not right.any():
        return 1.0
    return float(np.quantile(softmax(tests.scores[right]).max(axis=1), 1 - RECOGNISED))


def find_spans(shares: Shares, least: float) -> list[Span]:
    """Return all seconds of shares (S, C) in spans, in order.

    A second shows its best class where the share of that is `least` or more.
    """
    best = shares.max(axis=1)
    labels = [
        int(k) if top >= least else None for k, top in zip(shares.argmax(1), best, strict=True)
    ]
    spans = []
    for label, seconds in groupby(range(len(labels)), key=labels.__getitem__):
        run = list(seconds)
        share = float(best[run].mean())
        spans.append(Span(start=run[0], end=run[-1] + 1, label=label, share=share))
    return spans
