"""A study's table as bars, with the published numbers as marks beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.reporting.figures.style import (
    FUSION_COLOURS,
    MUTED,
    PUBLISHED,
    head,
    new_figure,
    save,
    style,
)


def draw_study_bars(
    columns: Sequence[str],
    measured: Mapping[str, Sequence[tuple[float, float] | None]],
    published: Mapping[str, Sequence[float | None]],
    path: Path,
    title: str,
) -> None:
    """Draw a group of bars for each column: a row each, with its spread and its published number.

    measured: by row, mean and spread in percent for each column, None where there is none.
    """
    places, width = np.arange(len(columns)), 0.8 / max(1, len(measured))
    with style():
        figure = new_figure(max(6, 1.5 + 0.35 * len(columns) * len(measured)), 4.4)
        axes = figure.subplots()
        for index, (row, bars) in enumerate(measured.items()):
            offset = places - 0.4 + width * (index + 0.5)
            colour = FUSION_COLOURS[index % len(FUSION_COLOURS)]
            found = [bar or (np.nan, 0.0) for bar in bars]
            values, spreads = zip(*found, strict=True)
            axes.bar(offset, values, 0.9 * width, label=row, color=colour)
            if any(spreads):
                axes.errorbar(offset, values, spreads, fmt="none", ecolor=MUTED, capsize=2)
            quoted = [np.nan if value is None else value for value in published[row]]
            if not np.isnan(quoted).all():
                label = None if "published" in axes.get_legend_handles_labels()[1] else "published"
                axes.plot(
                    offset,
                    quoted,
                    "D",
                    color="white",
                    markeredgecolor=PUBLISHED,
                    markersize=5,
                    label=label,
                )
        axes.set_xticks(places, columns)
        axes.set_ylim(0, 100)
        axes.set_ylabel("mean class accuracy, %")
        axes.grid(axis="x", visible=False)
        head(figure, axes, title)
        save(figure, path)
