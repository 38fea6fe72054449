"""The mean class accuracy of modalities and fusions, beside the published ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import FUSION_COLOURS, colour, head, new_figure, save, style
from stages.reporting.published import Published, find_published
from stages.reporting.results import Accuracy, is_combination

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_fusion_bars(
    mean: Mapping[str, Accuracy],
    path: Path,
    headline: str,
    paper: Mapping[str, Published] | None = None,
    title: str = "Mean class accuracy, mean over splits",
) -> None:
    """Draw every modality and combination with its spread; combinations stand out by a dark bar,
    the headline by bold type.

    `paper`, where given for the three official splits, adds a diamond at the published value.
    """
    names = sorted(mean, key=lambda n: (is_combination(n), mean[n]["mean_class_accuracy"]))
    values = [100 * mean[name]["mean_class_accuracy"] for name in names]
    spreads = [100 * mean[name].get("spread", 0.0) for name in names]
    with style():
        figure = new_figure(8, 0.42 * len(names) + 1.3)
        axes = figure.add_subplot()
        places = np.arange(len(names)) + 0.35 * np.array([is_combination(n) for n in names])
        axes.barh(
            places,
            values,
            0.72,
            color=[FUSION_COLOURS[0] if is_combination(n) else colour(n) for n in names],
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
        _draw_published(axes, places, names, paper or {})
        axes.set_yticks(places, names)
        axes.get_yticklabels()[names.index(headline)].set_fontweight("bold")
        axes.invert_yaxis()
        axes.set_xlim(0, 106)  # room for the number of a bar that ends at 100
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("mean class accuracy, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        head(figure, axes, title)
        save(figure, path)


def _draw_published(
    axes: "Axes",
    places: npt.NDArray[np.floating],
    names: Sequence[str],
    paper: Mapping[str, Published],
) -> None:
    published = [find_published(paper, name, (1, 2, 3)) for name in names]
    known = [(100 * v, p) for v, p in zip(published, places, strict=True) if v is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(x, y, "D", markersize=6, color="white", markeredgecolor="#009E73", label="paper")
