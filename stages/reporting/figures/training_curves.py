"""Loss and accuracy over the iterations of several training runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.reporting.figures.style import MUTED, colour_series, head, new_figure, save, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SMOOTH_FROM = 60


def draw_training_curves(
    logs: "Mapping[str, pd.DataFrame]", path: Path, title: str = "Training"
) -> None:
    """Draw loss, accuracy and learning rate over the iterations, a line per modality.

    A log has the columns iteration, loss, accuracy and lr. Long ones show a running mean over a
    faint line of the values themselves.
    """
    panels = (("loss", "loss", 1), ("accuracy", "accuracy, %", 100), ("lr", "learning rate", 1))
    with style():
        figure = new_figure(10, 3.4)
        row = figure.subplots(1, len(panels))
        for axes, (column, label, scale) in zip(row, panels, strict=True):
            for name, colour in colour_series(list(logs)).items():
                log = logs[name]
                draw_curve(axes, log, column, scale, name, colour, smooth=column != "lr")
            axes.set(xlabel="iteration")
            axes.set_title(label, fontsize=9, fontweight="normal", color=MUTED)
        row[0].set_ylim(bottom=0)
        row[1].set_ylim(0, 102)
        row[2].set_yscale("log")
        row[2].grid(visible=True, which="major")
        head(figure, row[0], title)
        save(figure, path)


def draw_curve(
    axes: "Axes",
    log: "pd.DataFrame",
    column: str,
    scale: int,
    name: str,
    colour: str,
    *,
    smooth: bool,
) -> None:
    """Draw a column of a log; `scale` times its values."""
    x, y = log["iteration"], scale * log[column]
    if smooth and len(log) >= SMOOTH_FROM:
        axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.25)
        y = y.rolling(max(len(log) // 30, 5), min_periods=1, center=True).mean()
    axes.plot(x, y, color=colour, linewidth=1.6, label=name)
