"""The accuracy over the test videos that carry a tag."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.reporting.figures.style import WIDTH, colour_series, head, new_figure, save, style
from stages.reporting.results import Row


def draw_tag_bars(
    mean: Mapping[str, Row], counts: Mapping[str, int], names: Sequence[str], path: Path
) -> None:
    """Draw the accuracy on each tag's videos, a bar for each of the named rows.

    mean: all rows. counts: of the videos, by tag. Raises ValueError when no video is tagged.
    """
    tags = list(dict.fromkeys(tag for row in mean.values() for tag in row.by_tag))
    if not tags:
        raise ValueError("accuracy by tag: the results hold no tag, so there is nothing to draw")
    thickness, colours = 0.84 / len(names), colour_series(list(mean))
    with style():
        figure = new_figure(WIDTH, 1.3 + len(tags) * (0.11 * len(names) + 0.15))
        axes = figure.add_subplot()
        for index, name in enumerate(names):
            values = [100 * mean[name].by_tag.get(tag, np.nan) for tag in tags]
            places = np.arange(len(tags)) + (index - (len(names) - 1) / 2) * thickness
            axes.barh(places, values, thickness * 0.92, label=name, color=colours[name])
        axes.set_yticks(np.arange(len(tags)), [f"{tag} ({counts[tag]})" for tag in tags])
        axes.set_ylim(len(tags) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        head(figure, axes, "Accuracy by tag, and its test videos")
        save(figure, path)
