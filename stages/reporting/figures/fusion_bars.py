"""The mean class accuracy of modalities and fusions, beside the published ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import (
    COLOURS,
    FUSION_COLOURS,
    MUTED,
    head,
    new_figure,
    save,
    style,
)
from stages.reporting.results import Results, is_combination
from tsn.scoring.scores import BASELINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_fusion_bars(results: Results, path: Path) -> None:
    """Draw every modality and combination with its spread; fusions stand out by a dark bar,
    the headline by bold type. A diamond is at the published value, a dashed line at the baseline.
    """
    mean, headline = results.mean, results.headline
    bars = [name for name in mean if name != BASELINE]
    names = sorted(bars, key=lambda n: (is_combination(n), mean[n].mean_class_accuracy))
    values = [100 * mean[name].mean_class_accuracy for name in names]
    spreads = [100 * (mean[name].spread or 0.0) for name in names]
    with style():
        figure = new_figure(8, 0.42 * len(names) + 1.3)
        axes = figure.add_subplot()
        places = np.arange(len(names)) + 0.35 * np.array([is_combination(n) for n in names])
        axes.barh(
            places,
            values,
            0.72,
            color=[COLOURS.get(name, FUSION_COLOURS[0]) for name in names],
            xerr=spreads,
            error_kw={"ecolor": "#8B95A1", "elinewidth": 1.4, "capsize": 3},
        )
        for place, name, value, spread in zip(places, names, values, spreads, strict=True):
            axes.annotate(
                f"{value:.1f}",
                (value + spread, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold" if name == headline else "normal",
            )
        if BASELINE in mean:
            _draw_baseline(axes, 100 * mean[BASELINE].mean_class_accuracy)
        known = {name: row.accuracy for name, row in results.published.items()}
        _draw_published(axes, [known.get(name) for name in names], places)
        labels = [results.descriptions[name].replace(": ", "\n") for name in names]
        axes.set_yticks(places, labels)
        axes.get_yticklabels()[names.index(headline)].set_fontweight("bold")
        axes.invert_yaxis()
        axes.set_xlim(0, 106)  # room for the number of a bar that ends at 100
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("mean class accuracy, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        head(figure, axes, "Mean class accuracy, mean over splits")
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
        edge = "#C2185B"
        axes.plot(x, y, "D", label="published", markersize=6, color="white", markeredgecolor=edge)
