"""Loss and accuracy over the iterations of several training runs."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.reporting.figures.style import (
    MUTED,
    WIDTH,
    colour_series,
    head,
    new_figure,
    save,
    style,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SMOOTH_FROM = 60
MOST_RATES = 6  # on the axis


def draw_training_curves(
    logs: "Mapping[str, pd.DataFrame]", path: Path, title: str = "Training"
) -> None:
    """Draw loss, accuracy and learning rate over the iterations, a line per modality.

    A log has the columns iteration, loss, accuracy and lr. Long ones show a running mean over a
    faint line of the values themselves.
    """
    panels = (("loss", "loss", 1), ("accuracy", "accuracy, %", 100), ("lr", "learning rate", 1))
    with style():
        figure = new_figure(WIDTH, 5.4)
        row = figure.subplots(len(panels), 1, sharex=True)
        for axes, (column, label, scale) in zip(row, panels, strict=True):
            for name, colour in colour_series(list(logs)).items():
                log = logs[name]
                draw_curve(axes, log, column, scale, name, colour, smooth=column != "lr")
            axes.set_title(label, fontsize=9, fontweight="normal", color=MUTED)
        row[0].set_ylim(bottom=0)
        row[1].set_ylim(0, 102)
        _label_rates(row[2], {float(rate) for log in logs.values() for rate in log["lr"]})
        row[2].set(xlabel="iteration")
        head(figure, row[0], title)
        save(figure, path)


def _label_rates(axes: "Axes", rates: Collection[float]) -> None:
    """Have the logarithmic axis of learning rates name those that there are, if they are few.

    A training of no iterations has none, and its axis stays as it is.
    """
    shown = sorted(rate for rate in rates if rate > 0)
    if not shown:
        return
    axes.set_yscale("log")
    if len(shown) <= MOST_RATES:
        axes.set_yticks(shown, [f"{rate:g}" for rate in shown])
    else:
        axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    axes.set_yticks([], minor=True)


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
