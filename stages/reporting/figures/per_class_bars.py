"""The accuracy of every class, of several modalities side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import (
    COLOURS,
    MANY_CLASSES,
    MUTED,
    WIDTH,
    colour_series,
    head,
    new_figure,
    save,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The reader should see where motion beats appearance, so classes are ordered by this difference.
CONTRAST = ("flow", "rgb")


def draw_per_class_bars(
    accuracies: Mapping[str, Sequence[float] | npt.NDArray[np.floating]],
    classes: Sequence[str],
    path: Path,
    title: str = "Accuracy per class",
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw the accuracy of every class for each modality or combination of `accuracies`.

    colours: of each series, where there are more than are drawn here.

    With both rgb and flow among them, the classes are ordered from those that flow recognises
    better to those that rgb does, with a line between; otherwise from the best to the worst. Up to
    24 classes are bars, more are points. Raises ValueError for an accuracy list of another length.
    """
    for name, values in accuracies.items():
        if len(values) != len(classes):
            raise ValueError(
                f"accuracy per class of {name}: expected {len(classes)} values, found {len(values)}"
            )
    percent = {name: 100 * np.asarray(values) for name, values in accuracies.items()}
    order, border = _order_classes(percent)
    few = len(classes) <= MANY_CLASSES
    height = (0.17 * len(percent) + 0.12 if few else 0.17) * len(classes) + 1.4
    with style():
        figure = new_figure(WIDTH, max(height, 3))
        axes = figure.add_subplot()
        colours = colours or colour_series(list(percent))
        for index, name in enumerate(percent):
            _draw_series(
                axes,
                percent[name][order],
                index,
                len(percent),
                few=few,
                label=name,
                color=colours[name],
            )
        size = 9 if few else 6.5
        axes.set_yticks(np.arange(len(classes)), [classes[i] for i in order], fontsize=size)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        axes.set_xlim(0 if few else -1.5, 101.5)
        axes.set_xlabel("accuracy, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=not few)
        if border is not None:
            _draw_border(axes, border, len(classes))
        head(figure, axes, title)
        save(figure, path)


def _order_classes(
    percent: Mapping[str, npt.NDArray[np.floating]],
) -> tuple[npt.NDArray[np.intp], tuple[int, int] | None]:
    """Return the order of the classes, and how many lead and trail by the contrast."""
    if all(name in percent for name in CONTRAST):
        difference = percent[CONTRAST[0]] - percent[CONTRAST[1]]
        order = np.argsort(-difference, kind="stable")
        return order, (int((difference > 0).sum()), int((difference < 0).sum()))
    return np.argsort(-np.mean(list(percent.values()), axis=0), kind="stable"), None


def _draw_series(
    axes: "Axes",
    values: npt.NDArray[np.floating],
    index: int,
    count: int,
    *,
    few: bool,
    label: str,
    color: str,
) -> None:
    """Draw the series `index` of `count`, beside the others: equal ones would hide each other."""
    width = (0.84 if few else 0.6) / count
    places = np.arange(len(values)) + (index - (count - 1) / 2) * width
    if few:  # a bar of nothing still shows that there is a measurement
        axes.barh(places, np.maximum(values, 0.4), width * 0.92, label=label, color=color)
    else:
        (dots,) = axes.plot(values, places, "o", label=label, color=color, clip_on=False)
        dots.set(markersize=4, markeredgewidth=0, alpha=0.9)


def _draw_border(axes: "Axes", border: tuple[int, int], count: int) -> None:
    first, second = CONTRAST
    leading, trailing = border
    groups = (
        (0, leading, f"{first} better", COLOURS[first]),
        (leading, count - trailing, "equal", MUTED),
        (count - trailing, count, f"{second} better", COLOURS[second]),
    )
    for start, end, text, colour in groups:
        if start == end:
            continue
        if start > 0:
            axes.axhline(start - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            text,
            (1.015, (start + end) / 2 - 0.5),
            xycoords=("axes fraction", "data"),
            rotation=-90,
            ha="left",
            va="center",
            fontsize=8,
            color=colour,
            fontweight="bold",
        )
