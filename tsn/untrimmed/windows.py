"""Untrimmed video: one score of a long video from a snippet a second (arXiv 1705.02953, M-TWI).

An action may fill a small part of a long video, so the mean over all of it says little.
Letters: S snippet, one a second; N window of one size; C class; V video.
"""

import math

import numpy as np
import numpy.typing as npt

from tsn.metrics import Scores

WINDOWS = (1, 2, 4, 8, 16)  # seconds, and so snippets
STRIDE = 0.8  # of a window's length
LEAST_POOLED, POOLED_SHARE = 15, 1 / 4  # of the windows of one size


def window_starts(length: int, num_snippets: int) -> range:
    """Return where windows of that many snippets start; the last ones may be cut short.

    The stride is rounded up to whole snippets, as in the authors' released function.
    """
    return range(0, num_snippets, math.ceil(STRIDE * length))


def window_maxima(snippets: Scores, length: int) -> Scores:
    """Return each class's largest score inside each window: (S, C) to (N, C)."""
    starts = window_starts(length, len(snippets))
    return np.stack([snippets[start : start + length].max(axis=0) for start in starts])


def top_mean(windows: Scores) -> Scores:
    """Return the mean of each class's K largest scores, K = max(15, ceil(N / 4)): (N, C) to (C,).

    The mean of all where there are no more than K.
    """
    pooled = max(LEAST_POOLED, math.ceil(POOLED_SHARE * len(windows)))
    mean: Scores = np.sort(windows, axis=0)[-pooled:].mean(axis=0)
    return mean


def windowed_score(snippets: Scores) -> Scores:
    """Return the score of a video by M-TWI: (S, C) to (C,), the mean over the sizes of windows."""
    sizes = [top_mean(window_maxima(snippets, length)) for length in WINDOWS]
    mean: Scores = np.mean(sizes, axis=0)
    return mean


def average_precisions(
    scores: npt.NDArray[np.floating], shows: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return each class's average precision, (C,), of (V, C) scores and whether a video shows it.

    It is scikit-learn's, as in the authors' evaluation; nan for a class that no video shows.
    """
    from sklearn.metrics import average_precision_score  # takes seconds to load

    return np.array(
        [
            average_precision_score(shown, row) if shown.any() else np.nan
            for shown, row in zip(shows.T, scores.T, strict=True)
        ]
    )
