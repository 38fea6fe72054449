"""What a long video shows when: a row for each class, with its share of every second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.reporting.figures.style import MUTED, head, new_figure, save, style
from tsn.untrimmed.timeline import Shares, Span

if TYPE_CHECKING:
    from matplotlib.ticker import MultipleLocator

MOST_ROWS = 12
FOUND, SHARE, TRUTH = "#0072B2", "#B9D6EA", "#222B36"


def draw_timeline(
    title: str,
    classes: Sequence[str],
    shares: Shares,
    spans: Sequence[Span],
    truth: Mapping[str, Sequence[tuple[float, float]]] | None,
    path: Path,
) -> None:
    """Draw the classes that are found, in their order, or the likeliest where none is.

    shares: (S, C); truth: the seconds that are annotated, by class, where they are known.
    """
    rows = shown_classes(classes, shares, spans, truth or {})
    seconds = np.arange(len(shares) + 1)
    with style():
        figure = new_figure(9, 1.3 + 0.42 * len(rows))
        axes = figure.add_subplot()
        for place, label in enumerate(rows):
            low = place + 0.42
            heights = np.append(shares[:, label], shares[-1:, label])
            axes.fill_between(
                seconds, low, low - 0.8 * heights, step="post", color=SHARE, linewidth=0
            )
            found = [(s.start, s.end - s.start) for s in spans if s.label == label]
            axes.broken_barh(found, (low - 0.8, 0.8), facecolor=FOUND, linewidth=0)
            real = [(a, b - a) for a, b in (truth or {}).get(classes[label], ())]
            axes.broken_barh(real, (low + 0.02, 0.1), facecolor=TRUTH, linewidth=0)
        for colour, text in ((FOUND, "found"), (SHARE, "share, not sure"), (TRUTH, "annotated")):
            if text != "annotated" or truth is not None:
                axes.fill_between([], [], color=colour, label=text)
        axes.set_yticks(range(len(rows)), [shortened(classes[label]) for label in rows])
        axes.set_ylim(len(rows) - 0.4, -0.5)
        axes.set_xlim(0, len(shares))
        axes.xaxis.set_major_locator(_ticks(len(shares)))
        axes.xaxis.set_major_formatter(lambda value, _: clock(value))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("time", color=MUTED)
        head(figure, axes, title)
        save(figure, path)


def shown_classes(
    classes: Sequence[str],
    shares: Shares,
    spans: Sequence[Span],
    truth: Mapping[str, object],
) -> list[int]:
    """Return the labels of the rows: those found, by when; those annotated; then the likeliest.

    Of more than MOST_ROWS, those that are found for the shortest time are left out.
    """
    lasting: dict[int, int] = {}
    for span in spans:
        if span.label is not None:
            lasting[span.label] = lasting.get(span.label, 0) + span.end - span.start
    kept = sorted(lasting, key=lambda label: -lasting[label])[:MOST_ROWS]
    rows = [label for label in lasting if label in kept]
    rows += [k for k, name in enumerate(classes) if name in truth and k not in rows]
    likeliest = np.argsort(-shares.max(axis=0), kind="stable")[:3]
    rows += [int(label) for label in likeliest if label not in rows and len(rows) < 3]
    return rows[:MOST_ROWS]


def shortened(name: str, most: int = 28) -> str:
    """Return a name that fits beside the picture."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def clock(seconds: float) -> str:
    """Return a time as 0:07, or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _ticks(seconds: int) -> "MultipleLocator":
    from matplotlib.ticker import MultipleLocator

    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
    return MultipleLocator(next((step for step in steps if seconds / step <= 12), 7200))
