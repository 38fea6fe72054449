"""What all figures share: data in, one PNG, SVG or JPEG file out, equal bytes for equal data.

The format follows the path's suffix. Accuracies come as fractions in 0..1 and are drawn in percent.
A colour means the same modality in every figure and stays apart for colour-blind readers. Figures
are as narrow as a phone can show them; a page puts two of them side by side.
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
    from matplotlib.colors import LinearSegmentedColormap
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
INK, MUTED, EDGE, GRID = "#1D2430", "#5D6878", "#AEB6C1", "#E6E9ED"
SHARE = "#2878B5"  # of an image of percents: the more, the less transparent
PUBLISHED = "#C2185B"  # the edge of a mark
TRAINING, TEST = "#7B8794", "#B08D3C"  # no modality's
# What these are on a dark page, where they could not be seen; the others stay as they are.
DARK = {
    INK: "#E4E8EE",
    MUTED: "#9AA5B4",
    EDGE: "#4A5563",
    GRID: "#2B333E",
    FUSION_COLOURS[0]: "#DDE3EA",
    FUSION_COLOURS[1]: "#95A1AF",
    FUSION_COLOURS[2]: "#5F6C7B",
    COLOURS[LEARNED]: "#B98255",
    COLOURS["flow"]: "#2A8FCB",
}

# Pictures lie on a dark ground, on light pages, too: what is white in them has an edge there.
GROUND: dict[Any, Any] = {
    "figure.facecolor": "#1C222B",
    "text.color": DARK[INK],
    "axes.labelcolor": DARK[MUTED],
    "axes.titlecolor": DARK[INK],
    "ytick.labelcolor": DARK[INK],
}
WIDTH = 4.6  # inches

MANY_CLASSES = 24
METADATA = {".png": {"Software": None}, ".svg": {"Date": None}, ".jpg": None}

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": EDGE,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "tsn",
    "text.color": INK,
    "text.parse_math": False,  # a class may have a $ in its name
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def colour_series(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each series: a modality's own; combinations and others take turns."""
    others = [name for name in names if name not in COLOURS]
    colours = {n: FUSION_COLOURS[i % len(FUSION_COLOURS)] for i, n in enumerate(others)}
    return {name: COLOURS.get(name) or colours[name] for name in names}


def style(*, pictures: bool = False) -> AbstractContextManager[None]:
    """Draw in the house style, within the block; `pictures` on their dark ground."""
    import matplotlib

    return matplotlib.rc_context({**STYLE, **(GROUND if pictures else {})})


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
    letters = max(map(len, labels))
    columns = int(figure.get_figwidth() / (0.5 + 0.07 * letters))
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=max(min(len(labels), columns), 1),
        columnspacing=1.2,
        handlelength=1.4,
        title=title,
        title_fontproperties={"weight": "bold", "size": 11},
        alignment="left",
    )


def share_colours() -> "LinearSegmentedColormap":
    """Return the colours of an image of percents, which lie on any ground."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    ends = [(*to_rgb(SHARE), 0.0), (*to_rgb(SHARE), 1.0)]
    return LinearSegmentedColormap.from_list("share", ends)


def write_percents(axes: "Axes", percent: npt.NDArray[np.floating]) -> None:
    """Write the numbers of an image of percents into it; nothing where it rounds to 0."""
    for row, column in np.argwhere(percent >= 0.5):
        value = percent[row, column]
        colour = "white" if value > 55 else INK
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)


def save(figure: "Figure", path: Path) -> None:
    """Write the file without a date or a version, so that equal data are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in METADATA:
        raise ValueError(f"{path}: a figure is a .png, an .svg or a .jpg file")
    vector = path.suffix == ".svg"
    figure.savefig(path, metadata=METADATA[path.suffix], transparent=vector)
