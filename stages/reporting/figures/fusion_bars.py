"""The mean class accuracy of modalities and fusions, beside the published ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import (
    MUTED,
    PUBLISHED,
    WIDTH,
    colour_series,
    head,
    new_figure,
    save,
    style,
)
from stages.reporting.results import Results, is_combination
from stages.reporting.tested import wilson_interval
from tsn.scoring.scores import BASELINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_fusion_bars(results: Results, path: Path) -> None:
    """Draw every modality and combination, its name above its bar, below it its 95 % interval; the
    headline in bold type. A diamond is at the published value, a dashed line at the baseline.
    """
    mean, headline = results.mean, results.headline
    bars = [name for name in mean if name != BASELINE]
    names = sorted(bars, key=lambda n: (is_combination(n), mean[n].mean_class_accuracy))
    values = [100 * mean[name].mean_class_accuracy for name in names]
    colours = colour_series(list(mean))
    with style():
        figure = new_figure(WIDTH, 0.44 * len(names) + 1.1)
        axes = figure.add_subplot()
        places = np.arange(len(names)) + 0.3 * np.array([is_combination(n) for n in names])
        axes.barh(places, values, 0.4, color=[colours[name] for name in names])
        for place, name, value in zip(places, names, values, strict=True):
            weight = "bold" if name == headline else "normal"
            number = f"{value:.{0 if results.tested.few else 1}f}"
            for x, side, text in ((0, "left", results.descriptions[name]), (100, "right", number)):
                axes.annotate(
                    text, (x, place - 0.24), ha=side, va="bottom", fontweight=weight, fontsize=8.5
                )
            low, high = wilson_interval(value / 100, results.tested.weight)
            below = place + 0.27
            axes.plot([100 * low, 100 * high], [below, below], color=MUTED, linewidth=1.6)
        if BASELINE in mean:
            _draw_baseline(axes, 100 * mean[BASELINE].mean_class_accuracy)
        known = {name: row.accuracy for name, row in results.published.items()}
        _draw_published(axes, [known.get(name) for name in names], places)
        axes.set_yticks([])
        axes.set_ylim(places[-1] + 0.4, -0.85)
        axes.set_xlim(0, 101)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("mean class accuracy, %")
        axes.grid(axis="y", visible=False)
        several = "mean over splits" if len(results.splits) > 1 else f"split {min(results.splits)}"
        head(figure, axes, f"Mean class accuracy, {several}")
        save(figure, path)


def _draw_baseline(axes: "Axes", percent: float) -> None:
    label = f"{BASELINE} {percent:.1f}"
    axes.axvline(percent, label=label, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.4)


def _draw_published(
    axes: "Axes", values: Sequence[float | None], places: npt.NDArray[np.floating]
) -> None:
    known = [(100 * v, place) for v, place in zip(values, places, strict=True) if v is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(
            x, y, "D", label="published", markersize=6, color="white", markeredgecolor=PUBLISHED
        )
