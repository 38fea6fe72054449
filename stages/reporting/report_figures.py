"""The figures of the report, with their captions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.reporting import dataset_page
from stages.reporting.figures.confusion_matrix import draw_confusion_matrix
from stages.reporting.figures.fusion_bars import draw_fusion_bars
from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.reporting.figures.style import MANY_CLASSES, colour_series
from stages.reporting.figures.tag_bars import draw_tag_bars
from stages.reporting.figures.training_curves import draw_training_curves
from stages.reporting.page import Figure
from stages.reporting.results import PER_CLASS_TABLE, Results
from stages.reporting.tables import read_table
from tsn.metrics import confusion_matrix
from tsn.scoring.fusion import fuse
from tsn.scoring.scores import VideoScores

LOOK, VISUALISE = "look.png", "visualise.jpg"  # of the stages of these names
LOOK_CAPTION = "A few videos as every modality has them."
VISUALISE_CAPTION = (
    "What each network looks for in a class: a picture that was made from noise so that the "
    "network takes it for the class. The percentage is the probability that the network then gives "
    "it. Of flow: x and y, where grey is no motion, and in colours. The command tsn visualise "
    "draws others."
)
Cells = Mapping[int, Mapping[str, VideoScores]]  # by split and modality


def draw_figures(
    plots: Path, lists: Path, out: Path, found: Results, cells: Cells
) -> dict[str, Figure]:
    """Return the figures of the page, by their place there, drawn into `out`.

    plots: the folder of the plots of train, fuse, look and visualise. lists: that of split.
    """
    shown = _describe(plots, out, found)
    draw_fusion_bars(found, shown["fusion"].path)
    title = "Accuracy per class, and its test videos"
    draw_classes(plots, found, shown["classes"].path, title)
    title = f"Confusion of {found.headline}, %"
    draw_confusions(found, cells, shown["confusion"].path, title)
    first = min(found.splits)
    logs = plots / str(first) / "training"
    tables = {name: read_table(logs / f"{name}.csv") for name in found.modalities}
    draw_training_curves(tables, shown["training"].path, f"Training, split {first}")
    shown["clips"] = dataset_page.clips_figure(lists, out / "dataset.svg")
    if found.tested.tags:
        caption = "Accuracy over the test videos that carry a tag."
        shown["tags"] = Figure("Kinds of video", caption, out / "tags.svg")
        names = list(dict.fromkeys([*found.modalities, found.headline]))
        draw_tag_bars(found.mean, found.tested.tags, names, shown["tags"].path)
    return shown


def _describe(plots: Path, out: Path, found: Results) -> dict[str, Figure]:
    """Return the figures that every page has, with their captions."""
    first, headline = min(found.splits), found.headline
    return {
        "fusion": Figure(
            "Modalities and fusions",
            "Mean class accuracy; the line below a bar is its 95 % interval, the dashed one the "
            "baseline.",
            out / "fusion.svg",
        ),
        "classes": Figure(
            "Classes", "Accuracy per class, mean over the splits.", out / "per_class.svg"
        ),
        "confusion": Figure(
            "Confusion",
            f"What {headline} takes the test videos of all splits for, in % of each class.",
            out / "confusion.svg",
            wide=len(found.tested.classes) > MANY_CLASSES,
        ),
        "training": Figure(
            "Training",
            f"Loss, accuracy on the training clips, and learning rate of split {first}'s networks.",
            out / "training.svg",
        ),
        "look": Figure("What the networks see", LOOK_CAPTION, plots / LOOK, wide=True),
        "visualise": Figure(
            "What the networks look for",
            f"{VISUALISE_CAPTION} The networks are those of split {first}.",
            plots / VISUALISE,
            wide=True,
        ),
    }


def draw_confusions(found: Results, cells: Cells, path: Path, title: str) -> None:
    """Draw what the headline takes the videos of all splits for."""
    counts = count_confusions(cells, found.weights[found.headline])
    draw_confusion_matrix(counts, list(found.tested.classes), path, title)


def count_confusions(cells: Cells, weights: Mapping[str, float]) -> npt.NDArray[np.int64]:
    """Return counts [true class, predicted class] of a fusion, over all splits."""
    counts = [
        confusion_matrix(fuse(row, weights), next(iter(row.values())).labels)
        for row in cells.values()
    ]
    total: npt.NDArray[np.int64] = np.sum(counts, axis=0)
    return total


def draw_classes(plots: Path, found: Results, path: Path, title: str) -> None:
    """Draw the accuracy per class of modalities and headline, mean over the splits' tables."""
    rows, classes = class_accuracies(plots, found)
    named = [f"{name} ({found.tested.classes[name]})" for name in classes]
    draw_per_class_bars(rows, named, path, title, colour_series(list(found.mean)))


def class_accuracies(
    plots: Path, found: Results
) -> tuple[dict[str, npt.NDArray[np.floating]], list[str]]:
    """Return the accuracies of modalities and headline per class, mean over the splits' tables,
    and the classes."""
    tables = [read_table(plots / str(split) / PER_CLASS_TABLE, "class") for split in found.splits]
    mean = pd.concat(tables).groupby("class", sort=False).mean()
    rows = {name: mean[name].to_numpy() for name in [*found.modalities, found.headline]}
    return rows, [str(name) for name in mean.index]
