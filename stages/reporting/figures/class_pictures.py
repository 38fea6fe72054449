"""What networks look for in classes: a row for each class, pictures side by side."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.reporting.figures.style import new_figure, save, style
from tsn.drawing.image import Image

PICTURE = 0.8  # inches
LONGEST = 22  # letters of a class name in a line


@dataclass(frozen=True, kw_only=True)
class Column:
    """A picture of each class, and what is written below each, if anything."""

    heading: str
    pictures: Sequence[Image]
    captions: Sequence[str] | None


def draw_class_pictures(
    columns: Sequence[Column], classes: Sequence[str], path: Path, title: str
) -> None:
    """Draw the columns side by side; ValueError for one of another number of pictures."""
    for column in columns:
        if len(column.pictures) != len(classes):
            raise ValueError(
                f"{column.heading}: expected {len(classes)} pictures, got {len(column.pictures)}"
            )
    with style(pictures=True):
        figure = new_figure(1.6 + PICTURE * len(columns), 0.8 + (PICTURE + 0.18) * len(classes))
        figure.set_dpi(110)  # the pictures are noisy, and small ones are enough
        grid = figure.subplots(len(classes), len(columns), squeeze=False)
        for row, name in enumerate(classes):
            for place, column in enumerate(columns):
                axes = grid[row, place]
                axes.imshow(column.pictures[row][..., ::-1], interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if column.captions is not None:
                    axes.set_xlabel(column.captions[row], fontsize=7, labelpad=2)
                if row == 0:
                    heading = "\n".join(map(_in_words, column.heading.splitlines()))
                    axes.set_title(heading, fontsize=8, loc="center", fontweight="normal")
            grid[row, 0].set_ylabel(
                _in_lines(name), rotation=0, ha="right", va="center", fontsize=8, labelpad=6
            )
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        save(figure, path)


def _in_words(heading: str) -> str:
    """Return a line of a heading in as many lines as a column is too narrow for it."""
    return textwrap.fill(heading, 12)


def _in_lines(name: str) -> str:
    """Return a class name in up to three lines; what is longer ends in dots."""
    lines = [name[start : start + LONGEST] for start in range(0, len(name), LONGEST)]
    return "\n".join(lines[:3]) + ("…" if len(lines) > 3 else "")
