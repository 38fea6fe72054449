"""What all figures share: data in, one PNG, SVG or JPEG file out, equal bytes for equal data.

The format follows the path's suffix. Accuracies come as fractions in 0..1 and are drawn in percent.
A colour means the same modality in every figure and stays apart for colour-blind readers.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tsn.scoring.scores import BASELINE, LEARNED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette; a combination is dark, as it is no modality's own, and the baseline pale.
COLOURS = {
    "rgb": "#D55E00",
    "rgb_diff": "#E69F00",
    "flow": "#0072B2",
    "warped_flow": "#56B4E9",
    LEARNED: "#7A4E2D",
    BASELINE: "#F0E442",
}
FUSION_COLOURS = ("#222B36", "#6B7785", "#A3ADB8", "#CC79A7", "#009E73")
MUTED = "#5D6878"

MANY_CLASSES = 24
METADATA = {".png": {"Software": None}, ".svg": {"Date": None}, ".jpg": None}

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#AEB6C1",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#E6E9ED",
    "legend.frameon": False,
    "svg.hashsalt": "tsn",
    "text.parse_math": False,  # a class may have a $ in its name
    "xtick.color": MUTED,
    "xtick.labelcolor": "#1D2430",
    "ytick.color": MUTED,
    "ytick.labelcolor": "#1D2430",
}


def colour_series(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each series: a modality's own; combinations and others take turns."""
    others = [name for name in names if name not in COLOURS]
    colours = {n: FUSION_COLOURS[i % len(FUSION_COLOURS)] for i, n in enumerate(others)}
    return {name: COLOURS.get(name) or colours[name] for name in names}


def style() -> AbstractContextManager[None]:
    """Draw in the house style, within the block."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def new_figure(width: float, height: float) -> "Figure":
    """Return a figure outside pyplot: it draws with Agg, without a display or global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def head(figure: "Figure", axes: "Axes", title: str) -> None:
    """Put the title over the legend, both left: side by side, many series collide."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        return
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=min(len(labels), 4),
        title=title,
        title_fontproperties={"weight": "bold", "size": 11},
        alignment="left",
    )


def write_cells(axes: "Axes", percent: npt.NDArray[np.floating]) -> None:
    """Write the numbers of an image of percents into its cells; nothing where it rounds to 0."""
    for row, column in np.argwhere(percent >= 0.5):
        value = percent[row, column]
        colour = "white" if value > 55 else "#1D2430"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)


def save(figure: "Figure", path: Path) -> None:
    """Write the file without a date or a version, so that equal data are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in METADATA:
        raise ValueError(f"{path}: a figure is a .png, an .svg or a .jpg file")
    figure.savefig(path, metadata=METADATA[path.suffix])
