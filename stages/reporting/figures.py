"""Figures of the results: data in, one PNG or SVG file out, the same bytes for the same data.

The format follows the path's suffix. Accuracies come as fractions in 0..1 and are drawn in percent.
A colour means the same modality in every figure and stays apart for colour-blind readers.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stages.reporting.results import Accuracy, Published, find_published, is_combination

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette; a fusion is dark, as it is no modality's own.
COLOURS = {
    "rgb": "#D55E00",
    "rgb_diff": "#E69F00",
    "flow": "#0072B2",
    "warped_flow": "#56B4E9",
}
FUSION_COLOURS = ("#222B36", "#6B7785", "#A3ADB8", "#CC79A7", "#009E73")
OTHER_COLOURS = ("#CC79A7", "#009E73", "#F0E442")
MUTED = "#5D6878"

# The reader should see where motion beats appearance, so classes are ordered by this difference.
CONTRAST = ("flow", "rgb")
MANY_CLASSES = 24
SMOOTH_FROM = 60

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


def confusion_matrix(
    matrix: npt.NDArray[np.integer],
    classes: Sequence[str],
    path: Path,
    title: str = "Confusion matrix",
) -> None:
    """Draw counts [true class, predicted class] as percent of each true class.

    Numbers stand in the cells while there is room for them. Raises ValueError unless the matrix is
    square with one row a class.
    """
    if matrix.shape != (len(classes), len(classes)):
        raise ValueError(
            f"confusion matrix of {len(classes)} classes: expected the shape "
            f"{(len(classes), len(classes))}, found {matrix.shape}"
        )
    count = len(classes)
    totals = matrix.sum(axis=1, keepdims=True)
    percent = 100 * matrix / np.maximum(totals, 1)
    side = 2.2 + max(3.2, min(0.42 * count, 0.11 * count + 4))
    with _style():
        figure = _new_figure(side + 1.4, side)
        axes = figure.add_subplot()
        image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
        _label_classes(axes, classes)
        axes.grid(False)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(title)
        if count <= MANY_CLASSES:
            _write_cells(axes, percent)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
        bar.set_label("% of the true class")
        bar.outline.set_visible(False)
        _save(figure, path)


def _label_classes(axes: "Axes", classes: Sequence[str]) -> None:
    size = 8 if len(classes) <= MANY_CLASSES else 5.5
    ticks = np.arange(len(classes))
    axes.set_xticks(ticks, classes, rotation=90, fontsize=size)
    axes.set_yticks(ticks, classes, fontsize=size)
    axes.tick_params(length=0)


def _write_cells(axes: "Axes", percent: npt.NDArray[np.floating]) -> None:
    for row, column in np.argwhere(percent >= 0.5):
        value = percent[row, column]
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if value > 55 else "#1D2430",
        )


def per_class_bars(
    accuracies: Mapping[str, Sequence[float] | npt.NDArray[np.floating]],
    classes: Sequence[str],
    path: Path,
    title: str = "Accuracy per class",
) -> None:
    """Draw the accuracy of every class for each modality or combination of `accuracies`.

    With both rgb and flow among them, the classes are ordered from those that flow recognises
    better to those that rgb does, with a line between; otherwise from the best to the worst. Up to
    24 classes are bars, more are points. Raises ValueError for an accuracy list of another length.
    """
    for name, values in accuracies.items():
        if len(values) != len(classes):
            raise ValueError(
                f"accuracy per class of {name}: expected {len(classes)} values, found {len(values)}"
            )
    percent = {name: 100 * np.asarray(values) for name, values in accuracies.items()}
    order, border = _order_classes(percent)
    few = len(classes) <= MANY_CLASSES
    height = (0.17 * len(percent) + 0.12 if few else 0.17) * len(classes) + 1.4
    with _style():
        figure = _new_figure(8, max(height, 3))
        axes = figure.add_subplot()
        draw = _draw_bars if few else _draw_points
        for index, (name, colour) in enumerate(_colour_series(list(percent)).items()):
            draw(axes, percent[name][order], index, len(percent), label=name, color=colour)
        size = 9 if few else 6.5
        axes.set_yticks(np.arange(len(classes)), [classes[i] for i in order], fontsize=size)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        axes.set_xlim(0 if few else -1.5, 101.5)
        axes.set_xlabel("accuracy, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=not few)
        if border is not None:
            _draw_border(axes, border, len(classes))
        _head(figure, axes, title)
        _save(figure, path)


def _order_classes(
    percent: Mapping[str, npt.NDArray[np.floating]],
) -> tuple[npt.NDArray[np.intp], tuple[int, int] | None]:
    """The order of the classes, and how many lead and trail by the contrast."""
    if all(name in percent for name in CONTRAST):
        difference = percent[CONTRAST[0]] - percent[CONTRAST[1]]
        order = np.argsort(-difference, kind="stable")
        return order, (int((difference > 0).sum()), int((difference < 0).sum()))
    return np.argsort(-np.mean(list(percent.values()), axis=0), kind="stable"), None


def _draw_bars(
    axes: "Axes",
    values: npt.NDArray[np.floating],
    index: int,
    count: int,
    *,
    label: str,
    color: str,
) -> None:
    thickness = 0.84 / count
    places = np.arange(len(values)) + (index - (count - 1) / 2) * thickness
    # A bar of nothing still shows that there is a measurement.
    axes.barh(places, np.maximum(values, 0.4), thickness * 0.92, label=label, color=color)


def _draw_points(
    axes: "Axes",
    values: npt.NDArray[np.floating],
    index: int,
    count: int,
    *,
    label: str,
    color: str,
) -> None:
    # Equal accuracies would hide each other on one line.
    places = np.arange(len(values)) + (index - (count - 1) / 2) * 0.6 / count
    axes.plot(
        values,
        places,
        "o",
        markersize=4,
        markeredgewidth=0,
        alpha=0.9,
        clip_on=False,
        label=label,
        color=color,
    )


def _draw_border(axes: "Axes", border: tuple[int, int], count: int) -> None:
    first, second = CONTRAST
    leading, trailing = border
    groups = (
        (0, leading, f"{first} better", COLOURS[first]),
        (leading, count - trailing, "equal", MUTED),
        (count - trailing, count, f"{second} better", COLOURS[second]),
    )
    for start, end, text, colour in groups:
        if start == end:
            continue
        if start > 0:
            axes.axhline(start - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            text,
            (1.015, (start + end) / 2 - 0.5),
            xycoords=("axes fraction", "data"),
            rotation=-90,
            ha="left",
            va="center",
            fontsize=8,
            color=colour,
            fontweight="bold",
        )


def training_curves(
    logs: "Mapping[str, pd.DataFrame]", path: Path, title: str = "Training"
) -> None:
    """Draw loss, accuracy and learning rate over the iterations, a line per modality.

    A log has the columns iteration, loss, accuracy and lr. Long ones show a running mean over a
    faint line of the values themselves.
    """
    panels = (("loss", "loss", 1), ("accuracy", "accuracy, %", 100), ("lr", "learning rate", 1))
    with _style():
        figure = _new_figure(10, 3.4)
        row = figure.subplots(1, len(panels))
        for axes, (column, label, scale) in zip(row, panels, strict=True):
            for name, colour in _colour_series(list(logs)).items():
                log = logs[name]
                _draw_curve(axes, log, column, scale, name, colour, smooth=column != "lr")
            axes.set(xlabel="iteration")
            axes.set_title(label, fontsize=9, fontweight="normal", color=MUTED)
        row[0].set_ylim(bottom=0)
        row[1].set_ylim(0, 102)
        row[2].set_yscale("log")
        row[2].grid(visible=True, which="major")
        _head(figure, row[0], title)
        _save(figure, path)


def _draw_curve(
    axes: "Axes",
    log: "pd.DataFrame",
    column: str,
    scale: int,
    name: str,
    colour: str,
    *,
    smooth: bool,
) -> None:
    x, y = log["iteration"], scale * log[column]
    if smooth and len(log) >= SMOOTH_FROM:
        axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.25)
        y = y.rolling(max(len(log) // 30, 5), min_periods=1, center=True).mean()
    axes.plot(x, y, color=colour, linewidth=1.6, label=name)


def fusion_bars(
    mean: Mapping[str, Accuracy],
    path: Path,
    headline: str,
    paper: Mapping[str, Published] | None = None,
    title: str = "Mean class accuracy, mean over splits",
) -> None:
    """Draw every modality and combination with its spread; combinations stand out by a dark bar,
    the headline by bold type.

    `paper`, where given for the three official splits, adds a diamond at the published value.
    """
    names = sorted(mean, key=lambda n: (is_combination(n), mean[n]["mean_class_accuracy"]))
    values = [100 * mean[name]["mean_class_accuracy"] for name in names]
    spreads = [100 * mean[name].get("spread", 0.0) for name in names]
    with _style():
        figure = _new_figure(8, 0.42 * len(names) + 1.3)
        axes = figure.add_subplot()
        places = np.arange(len(names)) + 0.35 * np.array([is_combination(n) for n in names])
        axes.barh(
            places,
            values,
            0.72,
            color=[FUSION_COLOURS[0] if is_combination(n) else _colour(n) for n in names],
            xerr=spreads,
            error_kw={"ecolor": "#8B95A1", "elinewidth": 1.4, "capsize": 3},
        )
        for place, name, value, spread in zip(places, names, values, spreads, strict=True):
            axes.annotate(
                f"{value:.1f}",
                (value + spread, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold" if name == headline else "normal",
            )
        _draw_published(axes, places, names, paper or {})
        axes.set_yticks(places, names)
        axes.get_yticklabels()[names.index(headline)].set_fontweight("bold")
        axes.invert_yaxis()
        axes.set_xlim(0, 106)  # room for the number of a bar that ends at 100
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("mean class accuracy, %")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        _head(figure, axes, title)
        _save(figure, path)


def _draw_published(
    axes: "Axes",
    places: npt.NDArray[np.floating],
    names: Sequence[str],
    paper: Mapping[str, Published],
) -> None:
    published = [find_published(paper, name, (1, 2, 3)) for name in names]
    known = [(100 * v, p) for v, p in zip(published, places, strict=True) if v is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(x, y, "D", markersize=6, color="white", markeredgecolor="#009E73", label="paper")


def tag_bars(
    mean: Mapping[str, Accuracy], path: Path, title: str = "Accuracy by tag of the video"
) -> None:
    """Draw the accuracy on each tag's videos, a bar per modality and combination.

    Raises ValueError when no video is tagged.
    """
    tags = list(dict.fromkeys(tag for row in mean.values() for tag in row["by_tag"]))
    if not tags:
        raise ValueError("accuracy by tag: the results hold no tag, so there is nothing to draw")
    names = sorted(mean, key=is_combination)
    thickness = 0.84 / len(names)
    with _style():
        figure = _new_figure(max(5, 1.2 + len(tags) * (0.2 * len(names) + 0.3)), 3.6)
        axes = figure.add_subplot()
        for index, (name, colour) in enumerate(_colour_series(names).items()):
            values = [100 * mean[name]["by_tag"].get(tag, np.nan) for tag in tags]
            places = np.arange(len(tags)) + (index - (len(names) - 1) / 2) * thickness
            axes.bar(places, values, thickness * 0.92, label=name, color=colour)
        axes.set_xticks(np.arange(len(tags)), tags)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy, %")
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
        _head(figure, axes, title)
        _save(figure, path)


def dataset_bars(
    classes: Sequence[str],
    train: npt.NDArray[np.integer],
    test: npt.NDArray[np.integer],
    seconds: npt.NDArray[np.floating],
    path: Path,
) -> None:
    """Draw training and test clips of each class, most first, and a histogram of lengths."""
    order = np.argsort(-(train + test), kind="stable")
    places = np.arange(len(classes))
    with _style():
        figure = _new_figure(9, max(3.2, 1.2 + 0.17 * len(classes)))
        per_class, lengths = figure.subplots(1, 2, width_ratios=(2, 1))
        per_class.barh(places, train[order], label="training", color=FUSION_COLOURS[0])
        per_class.barh(places, test[order], left=train[order], label="test", color=COLOURS["flow"])
        per_class.set_yticks(places, [classes[i] for i in order])
        per_class.set_ylim(len(classes) - 0.4, -0.6)
        per_class.set_xlabel("clips")
        per_class.tick_params(axis="y", length=0)
        per_class.grid(axis="y", visible=False)
        lengths.hist(seconds, bins=24, color=FUSION_COLOURS[1])
        lengths.set_xlabel("length, seconds")
        lengths.set_ylabel("clips")
        lengths.grid(axis="x", visible=False)
        _head(figure, per_class, "Clips")
        _save(figure, path)


def _colour(name: str) -> str:
    return COLOURS.get(name, OTHER_COLOURS[0])


def _colour_series(names: Sequence[str]) -> dict[str, str]:
    """A colour for each series: a modality has its own, fusions and unknown ones take turns."""
    fusions = [name for name in names if is_combination(name) or name == "fusion"]
    others = [name for name in names if name not in fusions and name not in COLOURS]
    colours = dict(COLOURS)
    colours |= {n: FUSION_COLOURS[i % len(FUSION_COLOURS)] for i, n in enumerate(fusions)}
    colours |= {n: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, n in enumerate(others)}
    return {name: colours[name] for name in names}


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _new_figure(width: float, height: float) -> "Figure":
    """A figure outside pyplot: it draws with Agg, and no display or global state is involved."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _head(figure: "Figure", axes: "Axes", title: str) -> None:
    """Title over legend, both left: side by side they collide as soon as there are many series."""
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


def _save(figure: "Figure", path: Path) -> None:
    """Write the file without a date or a version, so that equal data are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}}.get(path.suffix)
    if metadata is None:
        raise ValueError(f"{path}: a figure is a .png or an .svg file")
    figure.savefig(path, metadata=metadata)
