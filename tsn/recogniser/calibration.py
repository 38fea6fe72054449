"""Scores as probabilities: one temperature, fitted on videos that the networks have not seen.

The networks of a dataset's other splits are made by the same recipe, and each was tested on videos
that it was not trained on. Their scores of these say how sure such a network may be: temperature
scaling (Guo et al., *On Calibration of Modern Neural Networks*, 2017). Letters: V video, C class.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsn.metrics import Labels, Scores

LEAST_VIDEOS = 30  # of fewer nothing can be learned, nor is anything called a probability
BINS = 15  # of the calibration error: as in the paper
TEMPERATURES = np.geomspace(1 / 20, 20, 241)  # 2.5 % apart


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The temperature that fused scores are divided by before softmax, and how it was found.

    videos: how many it was fitted on, test videos of `splits` and none of the recogniser's own
    test list. ece_before, ece_after: the expected calibration error on that list, without the
    temperature and with it.
    """

    temperature: float
    splits: tuple[int, ...]
    videos: int
    ece_before: float
    ece_after: float

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}, expected above 0")


def softmax(scores: Scores, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return scores (..., C) as shares that sum to 1. They rank classes; with a recogniser's
    temperature they are probabilities.
    """
    shares: npt.NDArray[np.float64] = np.exp(log_softmax(scores, temperature))
    return shares


def log_softmax(scores: Scores, temperature: float) -> npt.NDArray[np.float64]:
    """Return the logarithms of `softmax`."""
    shifted = (scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)) / temperature
    logs: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def fit_temperature(scores: Scores, labels: Labels) -> float:
    """Return the temperature by which scores (V, C) make their labels (V,) most likely.

    Its logarithm is expected to be 0, with a standard deviation of 1: without that, videos that are
    all recognised would make every answer certain.
    """
    rows = np.arange(len(labels))
    losses = [
        -log_softmax(scores, temperature)[rows, labels].sum() + np.log(temperature) ** 2 / 2
        for temperature in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def calibration_error(shares: npt.NDArray[np.float64], labels: Labels) -> float:
    """Return the expected calibration error of shares (V, C), a fraction.

    Videos are put into bins by the share of their best class. In each, the mean share and the
    fraction that is right should be equal; what they differ by is weighted with the bin's videos.
    """
    best = shares.max(axis=1)
    right = shares.argmax(axis=1) == labels
    bins = np.minimum((best * BINS).astype(int), BINS - 1)
    gaps = [abs(float((right[bins == k] - best[bins == k]).sum())) for k in np.unique(bins)]
    return sum(gaps) / len(labels)


def calibrate(
    held_out: Scores, labels: Labels, splits: tuple[int, ...], test: Scores, test_labels: Labels
) -> Calibration | None:
    """Return the calibration by held-out scores (V, C) of those splits, measured on the test list.

    None where there are too few.
    """
    if len(labels) < LEAST_VIDEOS:
        return None
    temperature = fit_temperature(held_out, labels)
    before, after = (
        calibration_error(softmax(test, value), test_labels) for value in (1.0, temperature)
    )
    return Calibration(
        temperature=temperature,
        splits=splits,
        videos=len(labels),
        ece_before=before,
        ece_after=after,
    )
