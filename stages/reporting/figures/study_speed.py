"""A study's accuracies against the frames a second that they cost."""

from collections.abc import Mapping
from pathlib import Path

from stages.reporting.figures.style import (
    FUSION_COLOURS,
    INK,
    head,
    new_figure,
    save,
    style,
)


def draw_study_speed(
    points: Mapping[str, Mapping[str, tuple[float, float]]], path: Path, title: str
) -> None:
    """Draw a mark for each column of each row: frames a second, and percent."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    with style():
        figure = new_figure(6, 4.4)
        axes = figure.subplots()
        best: dict[str, float] = {}
        for columns in points.values():
            for column, (_, accuracy) in columns.items():
                best[column] = max(accuracy, best.get(column, 0.0))
        for index, (row, columns) in enumerate(points.items()):
            colour = FUSION_COLOURS[index % len(FUSION_COLOURS)]
            speeds, accuracies = zip(*columns.values(), strict=True)
            axes.plot(speeds, accuracies, "o", color=colour, label=row)
            for column, place in columns.items():
                away = (0, 6) if place[1] == best[column] else (0, -12)  # other rows are lower
                axes.annotate(
                    column,
                    place,
                    xytext=away,
                    textcoords="offset points",
                    ha="center",
                    color=INK,
                    fontsize=7,
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.15)
        axes.set_ylim(0, 105)
        axes.set_xlabel("frames/s of the whole method, here")
        axes.set_ylabel("mean class accuracy, %")
        head(figure, axes, title)
        save(figure, path)
