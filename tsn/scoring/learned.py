"""Fusion weights fitted on training videos that the networks have not seen, beside the fixed ones.

Networks of another split have not seen that split's test videos, and some of these stand in the
training list of this one. So their scores are there already, of whole groups, and no network is
trained for it. The weights of a split are fitted on none of its test videos. The networks whose
scores they are fitted on were trained on some of those; what passes on is a number by modality.

The weights multiply raw scores, as the fixed ones do: networks of a modality are taken to score on
one scale in all splits.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from tsn.metrics import Scores
from tsn.scoring.scores import ScoreError, VideoScores

Labels = npt.NDArray[np.int64]
_RIDGE = 0.01  # on weights of scores that have been scaled to a deviation of 1


class NothingToFitError(ValueError):
    """There is no video, or no second modality, to fit weights with."""


def fit_splits(
    splits: Mapping[int, Mapping[str, VideoScores]], training: Mapping[int, Collection[str]]
) -> dict[int, dict[str, float]]:
    """Return the weight of each modality in each split, as `fit_weights` does.

    splits: by number, the cells of each modality, of the same videos; training: of each split, the
    training videos to fit on. NothingToFitError for one modality alone, and as `held_out_scores`.
    """
    if any(len(cells) < 2 for cells in splits.values()):
        raise NothingToFitError("one modality alone needs no weight")
    return {k: fit_weights(*held_out_scores(splits, k, training[k])) for k in splits}


def held_out_scores(
    splits: Mapping[int, Mapping[str, VideoScores]], split: int, training: Collection[str]
) -> tuple[dict[str, Scores], Labels]:
    """Return the scores (V, C) by modality of the split's training videos that others test.

    splits: by number, the cells of each modality, of the same videos; training: the training list
    of `split`. A video that several splits test comes once for each. NothingToFitError without any,
    ScoreError where the splits are of different classes.
    """
    rows = {}
    for number, cells in splits.items():
        cell = _first(cells)
        if cell.classes != _first(splits[split]).classes:
            raise ScoreError(f"splits {split} and {number} are of other classes; score both again")
        found = [index for index, video in enumerate(cell.videos) if video in training]
        if number != split and found:
            rows[number] = found
    if not rows:
        raise NothingToFitError(
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
    modality that knows little has a weight near 0, one that is worse than chance has 0.
    """
    from scipy.optimize import minimize  # takes as long to load as all else of the report
    from scipy.special import log_softmax

    centred = {name: _centred(values) for name, values in scores.items()}
    names = [name for name, values in centred.items() if values.std() > 0]
    unknowing = dict.fromkeys(scores, 1.0)  # if no modality knows anything: all alike
    if not names:
        return unknowing
    deviations = np.array([centred[name].std() for name in names])
    scaled = np.stack([centred[name] for name in names]) / deviations[:, None, None]  # (M, V, C)
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
    if not found.success:
        raise ScoreError(f"the fusion weights cannot be fitted: {found.message}")
    if not found.x.any():
        return unknowing
    weights = found.x / deviations
    fitted = dict(zip(names, map(float, weights / weights.max()), strict=True))
    return {name: fitted.get(name, 0.0) for name in scores}


def _centred(scores: Scores) -> npt.NDArray[np.float64]:
    """Return the scores without what is common to all classes of a video: softmax ignores it."""
    precise = np.asarray(scores, dtype=np.float64)
    return np.asarray(precise - precise.mean(axis=1, keepdims=True), dtype=np.float64)


def _first(cells: Mapping[str, VideoScores]) -> VideoScores:
    return next(iter(cells.values()))
