"""How many clips each class of a dataset has, and how long they are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import (
    FUSION_COLOURS,
    TEST,
    TRAINING,
    WIDTH,
    head,
    new_figure,
    save,
    style,
)


def draw_dataset_bars(
    classes: Sequence[str],
    train: npt.NDArray[np.integer],
    test: npt.NDArray[np.integer],
    seconds: npt.NDArray[np.floating],
    path: Path,
) -> None:
    """Draw training and test clips of each class, most first, and a histogram of lengths."""
    order = np.argsort(-(train + test), kind="stable")
    places = np.arange(len(classes))
    with style():
        heights = (max(1.2, 0.19 * len(classes)), 1.1)
        figure = new_figure(WIDTH, sum(heights) + 1.7)
        per_class, lengths = figure.subplots(2, 1, height_ratios=heights)
        per_class.barh(places, train[order], label="training", color=TRAINING)
        per_class.barh(places, test[order], left=train[order], label="test", color=TEST)
        per_class.set_yticks(places, [classes[i] for i in order])
        per_class.set_ylim(len(classes) - 0.4, -0.6)
        per_class.set_xlabel("clips")
        per_class.tick_params(axis="y", length=0)
        per_class.grid(axis="y", visible=False)
        lengths.hist(seconds, bins=24, color=FUSION_COLOURS[1])
        lengths.set_xlabel("length, seconds")
        lengths.set_ylabel("clips")
        lengths.grid(axis="x", visible=False)
        head(figure, per_class, "Clips")
        save(figure, path)
