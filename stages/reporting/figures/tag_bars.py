"""The accuracy over the test videos that carry a tag."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.reporting.figures.style import colour_series, head, new_figure, save, style
from stages.reporting.results import Row


def draw_tag_bars(mean: Mapping[str, Row], path: Path) -> None:
    """Draw the accuracy on each tag's videos, a bar per modality, combination and baseline.

    Raises ValueError when no video is tagged.
    """
    tags = list(dict.fromkeys(tag for row in mean.values() for tag in row.by_tag))
    if not tags:
        raise ValueError("accuracy by tag: the results hold no tag, so there is nothing to draw")
    names = list(mean)
    thickness = 0.84 / len(names)
    with style():
        figure = new_figure(max(5, 1.2 + len(tags) * (0.2 * len(names) + 0.3)), 3.6)
        axes = figure.add_subplot()
        for index, (name, colour) in enumerate(colour_series(names).items()):
            values = [100 * mean[name].by_tag.get(tag, np.nan) for tag in tags]
            places = np.arange(len(tags)) + (index - (len(names) - 1) / 2) * thickness
            axes.bar(places, values, thickness * 0.92, label=name, color=colour)
        axes.set_xticks(np.arange(len(tags)), tags)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy, %")
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
        head(figure, axes, "Accuracy by tag of the video")
        save(figure, path)
