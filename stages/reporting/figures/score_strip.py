"""The scores of one clip over time, above its frames."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.reporting.figures.style import new_figure, save, style, write_cells
from tsn.drawing.image import Image

WIDTH = 7.4  # inches, of the cells
MOST_CLASSES = 6
LEAST_SHARE = 0.05  # of a class that is shown beside the true one
MOST_SNIPPETS = 12  # frames shown
LONGEST = 28  # letters of a class name


def draw_score_strip(
    shares: npt.NDArray[np.floating],
    classes: Sequence[str],
    truth: str,
    starts: Sequence[int],
    frames: Sequence[Image],
    path: Path,
) -> None:
    """Draw the probabilities (S, C) of a clip's snippets, and the frames that snippets begin with.

    The class that is true stands first, then those that a snippet is most taken for. `frames` may
    be fewer than the snippets: they are as evenly spread, or none.
    """
    most = shares.max(axis=0)
    order = np.argsort(-most, kind="stable")
    others = [c for c in order if classes[c] != truth and most[c] >= LEAST_SHARE]
    rows = [list(classes).index(truth), *others[: MOST_CLASSES - 1]]
    with style():
        parts = [0.32 * len(rows)]
        if frames:  # as wide as the row of cells, in their own proportions
            strip_image = np.hstack(frames)
            parts.append(WIDTH * strip_image.shape[0] / strip_image.shape[1])
        figure = new_figure(WIDTH + 1.8, 0.6 + sum(parts))
        figure.set_dpi(110)  # thumbnails have no more pixels
        grid = figure.add_gridspec(len(parts), 1, height_ratios=parts)
        axes = figure.add_subplot(grid[0])
        axes.imshow(100 * shares[:, rows].T, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        axes.grid(False)
        axes.set_yticks(range(len(rows)), [_short(classes[c]) for c in rows])
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.set_xticks(range(len(starts)), [str(start + 1) for start in starts])
        axes.set_xlabel("frame at which the snippet begins")
        axes.tick_params(length=0)
        if len(starts) <= 2 * MOST_SNIPPETS:
            write_cells(axes, 100 * shares[:, rows].T)
        if frames:
            strip = figure.add_subplot(grid[1])
            strip.imshow(strip_image[..., ::-1], aspect="auto", interpolation="bilinear")
            strip.set_axis_off()
        save(figure, path)


def evenly(count: int) -> list[int]:
    """Return which of that many snippets have their frames shown."""
    shown = min(count, MOST_SNIPPETS)
    return [int(place) for place in np.linspace(0, count - 1, shown).round()]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
