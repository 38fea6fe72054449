"""Fusion weights fitted on training videos that the networks have not seen, beside the fixed ones.

Networks of another split have not seen that split's test videos, and some of these stand in the
training list of this one. So their scores are there already, of whole groups, and no network is
trained for it. No video of the test list is scored or fitted on. The other split's networks were
trained on some of them, and the weights, a number by modality, are all that comes of that.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from tsn.metrics import Scores
from tsn.scoring.scores import ScoreError, VideoScores

Labels = npt.NDArray[np.int64]
_RIDGE = 0.01  # on weights of scores that have been scaled to a deviation of 1


def held_out_scores(
    splits: Mapping[int, Mapping[str, VideoScores]], split: int, training: Collection[str]
) -> tuple[dict[str, Scores], Labels]:
    """Return the scores (V, C) by modality of the split's training videos that others test.

    splits: by number, the cells of each modality, of the same videos; training: the training list
    of `split`. A video that several splits test comes once for each. ScoreError without any.
    """
    rows = {
        number: [index for index, video in enumerate(_first(cells).videos) if video in training]
        for number, cells in splits.items()
        if number != split
    }
    rows = {number: found for number, found in rows.items() if found}
    if not rows:
        raise ScoreError(
            f"no other split's test list has videos that split {split} trains on, so there is "
            "nothing to fit fusion weights on"
        )
    scores = {
        name: np.concatenate([splits[k][name].scores[found] for k, found in rows.items()])
        for name in splits[split]
    }
    return scores, np.concatenate([_first(splits[k]).labels[found] for k, found in rows.items()])


def fit_weights(scores: Mapping[str, Scores], labels: Labels) -> dict[str, float]:
    """Return the weight of each modality, the largest 1, none negative.

    They minimise the mean cross-entropy of the softmax of the weighted sum, with a small ridge. A
    modality that brings nothing has the weight 0.
    """
    names = list(scores)
    deviations = np.array([max(float(scores[name].std()), 1e-12) for name in names])
    stacked = np.stack([scores[name].astype(np.float64) for name in names])  # (M, V, C)
    scaled = stacked / deviations[:, None, None]
    videos = np.arange(len(labels))

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logs = log_softmax(np.tensordot(weights, scaled, axes=1), axis=1)
        errors = np.exp(logs)
        errors[videos, labels] -= 1.0
        gradient = np.tensordot(scaled, errors, axes=2) / len(labels)
        value = -logs[videos, labels].mean() + _RIDGE * (weights @ weights)
        return float(value), gradient + 2 * _RIDGE * weights

    start = np.ones(len(names))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(names))
    weights = found.x / deviations
    largest = float(weights.max())
    if largest <= 0:  # no modality knows anything: all alike
        return dict.fromkeys(names, 1.0)
    return {name: float(weight) for name, weight in zip(names, weights / largest, strict=True)}


def _first(cells: Mapping[str, VideoScores]) -> VideoScores:
    return next(iter(cells.values()))
