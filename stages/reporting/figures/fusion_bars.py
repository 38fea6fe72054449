"""The mean class accuracy of modalities and fusions, beside the published ones."""

from pathlib import Path

import numpy as np

from stages.reporting.figures.style import COLOURS, FUSION_COLOURS, head, new_figure, save, style
from stages.reporting.results import Results, is_combination


def draw_fusion_bars(results: Results, path: Path) -> None:
    """Draw every modality and combination with its spread; combinations stand out by a dark bar,
    the headline by bold type, and a diamond is at the published value.
    """
    mean, headline = results.mean, results.headline
    names = sorted(mean, key=lambda n: (is_combination(n), mean[n].mean_class_accuracy))
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
        known = {name: row.accuracy for name, row in results.published.items()}
        if known:
            x, y = zip(*((100 * known[n], places[names.index(n)]) for n in known), strict=True)
            edge = "#009E73"
            axes.plot(
                x, y, "D", label="published", markersize=6, color="white", markeredgecolor=edge
            )
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
