"""Loss and accuracy of every training run of a dataset, a row of panels for each split."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.reporting.figures.style import MUTED, colour_series, head, new_figure, save, style
from stages.reporting.figures.training_curves import draw_curve

if TYPE_CHECKING:
    import pandas as pd

PANELS = (("loss", "loss", 1), ("accuracy", "accuracy of the batches, %", 100))


def draw_training_by_split(
    logs: "Mapping[int, Mapping[str, pd.DataFrame]]", path: Path, title: str
) -> None:
    """Draw loss and accuracy over the iterations, a line per modality: by split, then modality.

    A log has the columns iteration, loss and accuracy.
    """
    with style():
        figure = new_figure(9, 2.6 * len(logs) + 0.7)
        grid = figure.subplots(len(logs), len(PANELS), sharex=True, sharey="col", squeeze=False)
        for row, (split, runs) in zip(grid, logs.items(), strict=True):
            for axes, (column, label, scale) in zip(row, PANELS, strict=True):
                for name, colour in colour_series(list(runs)).items():
                    draw_curve(axes, runs[name], column, scale, name, colour, smooth=True)
                axes.set_title(
                    f"split {split}: {label}", fontsize=9, fontweight="normal", color=MUTED
                )
                axes.set_ylim(bottom=0)
        for axes in grid[-1]:
            axes.set_xlabel("iteration")
        head(figure, grid[0][0], title)
        save(figure, path)
