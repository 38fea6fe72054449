"""How often each class was taken for each other one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import (
    MANY_CLASSES,
    WIDTH,
    new_figure,
    save,
    share_colours,
    style,
    write_percents,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_confusion_matrix(
    matrix: npt.NDArray[np.integer],
    classes: Sequence[str],
    path: Path,
    title: str = "Confusion matrix",
) -> None:
    """Draw counts [true class, predicted class] as percent of each true class.

    Numbers stand in it while there is room for them. Raises ValueError unless the matrix is
    square with one row a class.
    """
    if matrix.shape != (len(classes), len(classes)):
        raise ValueError(
            f"confusion matrix of {len(classes)} classes: expected the shape "
            f"{(len(classes), len(classes))}, found {matrix.shape}"
        )
    from matplotlib.colors import PowerNorm

    count = len(classes)
    totals = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(totals, 1)
    side = WIDTH if count <= 12 else 2.2 + max(3.2, min(0.42 * count, 0.11 * count + 4))
    with style():
        figure = new_figure(side, side)
        axes = figure.add_subplot()
        norm = PowerNorm(1.0 if count <= MANY_CLASSES else 0.5, 0, 100)  # a few percent, unwritten
        image = axes.imshow(percent, cmap=share_colours(), norm=norm, interpolation="nearest")
        _label_classes(axes, classes)
        axes.grid(False)
        axes.set(xlabel="predicted class", ylabel="true class")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        if count <= MANY_CLASSES:
            write_percents(axes, percent)
        else:
            bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
            bar.set_label("% of the true class")
            bar.outline.set_visible(False)
        save(figure, path)


def _label_classes(axes: "Axes", classes: Sequence[str]) -> None:
    size = 8 if len(classes) <= MANY_CLASSES else 5.5
    ticks = np.arange(len(classes))
    axes.set_xticks(ticks, classes, rotation=90, fontsize=size)
    axes.set_yticks(ticks, classes, fontsize=size)
    axes.tick_params(length=0)
