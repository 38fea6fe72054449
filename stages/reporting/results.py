"""Accuracies of a dataset: measured, written, read, and averaged over splits.

A *row* is one modality (`rgb`), the recipe's combination of some (`two_stream`), the fusion with
learned weights or the baseline, in this order. All values are fractions in 0..1.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stages.reporting.published import PublishedAccuracy
from stages.reporting.tested import VideoCounts
from tsn.files import write_json
from tsn.lists import ListedVideo
from tsn.metrics import Accuracy, Scores, accuracy
from tsn.modality import MODALITIES
from tsn.records import record
from tsn.scoring.fusion import describe_not_run, describe_row
from tsn.scoring.scores import BASELINE, LEARNED, VideoScores

# What fuse writes of a split for other programs, among its plots.
PER_CLASS_TABLE, CONFUSION_TABLE = "per_class.csv", "confusion.csv"


@dataclass(frozen=True, kw_only=True)
class Row(Accuracy):
    """A row. `by_tag` is the accuracy on the test videos that carry the tag; `spread`, in a mean
    over splits alone, the population standard deviation of the mean class accuracy."""

    by_tag: dict[str, float]
    spread: float | None = None

    def __post_init__(self) -> None:
        tags = {f"by_tag: {tag}": value for tag, value in self.by_tag.items()}
        for name, value in {**vars(self), **tags, "by_tag": None}.items():
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a fraction in 0..1, found {value!r}")


@dataclass(frozen=True, kw_only=True)
class Results:
    """The rows of a dataset's splits, by the split's number, and which row is the result.

    `weights` are those of the recipe's rows: each modality's. `wanted` is the row that the recipe
    calls the result, another one where its modalities are not all run; `not_run` are the
    combinations that are left out, and why. `published` are the numbers that rows are compared
    with. `learned` are the fitted weights of each split, where the recipe asks for them. `tested`
    are the videos behind every number.
    """

    dataset: str
    splits: Mapping[int, Mapping[str, Row]]
    weights: Mapping[str, Mapping[str, float]]
    headline: str
    wanted: str
    not_run: Mapping[str, str]
    published: Mapping[str, PublishedAccuracy]
    learned: Mapping[int, Mapping[str, float]]
    tested: VideoCounts

    @cached_property
    def mean(self) -> dict[str, Row]:
        """Return every row, averaged over the splits."""
        return mean_over_splits(list(self.splits.values()))

    @property
    def modalities(self) -> list[str]:
        """Return the rows of single modalities."""
        return [name for name in self.mean if is_modality(name)]

    @property
    def descriptions(self) -> dict[str, str]:
        """Return every row as people read it: `two_stream: rgb + 1.5 flow`."""
        return {
            name: describe_row(name, self.weights[name]) if name in self.weights else name
            for name in self.mean
        }

    @property
    def notes(self) -> list[str]:
        """Return what is said of rows that are not run, of learned weights and of the baseline."""
        notes = [f"Not run: {describe_not_run(self.not_run)}."] if self.not_run else []
        if self.wanted != self.headline:
            notes.append(f"The result is {self.headline}: the recipe's, {self.wanted}, is not run.")
        if self.learned:
            fitted = "; ".join(_fitted(*item) for item in self.learned.items())
            notes.append(
                f"The weights of {LEARNED} are fitted on those training videos of a split that "
                f"other splits test: {fitted}. The scores are of the other splits' networks, which "
                "were trained on test videos of this one."
            )
        if BASELINE in self.mean:
            gain = accuracy_gain(self.mean[self.headline], self.mean[BASELINE])
            notes.append(
                f"{BASELINE} is no trained network but a logistic regression on features of the "
                f"initial weights. {self.headline} {'beats' if gain > 0 else 'does not beat'} it: "
                f"{gain:+.1f} points."
            )
        return notes


def _fitted(split: int, weights: Mapping[str, float]) -> str:
    shown = {name: round(weight, 2) for name, weight in weights.items() if weight >= 0.005}
    return describe_row(f"split {split}", shown)


def measure(
    rows: Mapping[str, Scores], cell: VideoScores, listed: Sequence[ListedVideo]
) -> dict[str, Row]:
    """Return the metrics of every row: over all test videos, and top-1 over those with each tag."""
    tags_of = {video.video: video.tags for video in listed}
    tags = np.array([" ".join(tags_of[video]) for video in cell.videos])
    words = sorted({word for text in tags for word in text.split()})
    members = {word: np.array([word in text.split() for text in tags]) for word in words}
    metrics: dict[str, Row] = {}
    for name, scores in rows.items():
        result = accuracy(scores, cell.labels)
        right = scores.argmax(axis=1) == cell.labels
        by_tag = {word: float(right[member].mean()) for word, member in members.items()}
        metrics[name] = Row(**asdict(result), by_tag=by_tag)
    return metrics


def add_learned(
    rows: Mapping[str, Row], scores: Scores, cell: VideoScores, listed: Sequence[ListedVideo]
) -> dict[str, Row]:
    """Return the rows with that of learned weights, behind those of the other networks."""
    networks = {name: row for name, row in rows.items() if name != BASELINE}
    return {**networks, **measure({LEARNED: scores}, cell, listed), **rows}


def read_rows(path: Path) -> dict[str, Row]:
    """Return the rows of one split's (or the mean's) metrics file, in the file's order.

    Raises FileNotFoundError without the file, ValueError for a row that is not complete.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: expected an object of modalities, found {content!r:.60}")
    rows = {
        n: {"spread": None, **row} if isinstance(row, dict) else row for n, row in content.items()
    }
    return {name: record(row, Row, f"{path}: {name}") for name, row in rows.items()}


def write_rows(path: Path, rows: Mapping[str, Row]) -> None:
    """Write a metrics file."""
    write_json(path, plain_rows(rows))


def plain_rows(rows: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """Return the rows as JSON has them."""
    return {
        name: {key: value for key, value in asdict(row).items() if value is not None}
        for name, row in rows.items()
    }


def run_metrics(rows: Mapping[str, Row], headline: str) -> dict[str, float]:
    """Return the result's numbers as a run has them, and what every row is compared by.

    `headline/top1`, and `mean_class_accuracy/rgb`. The rest is in the run's files.
    """
    result = plain_rows(rows)[headline]
    return {
        **{f"headline/{name}": value for name, value in result.items() if isinstance(value, float)},
        **{f"mean_class_accuracy/{name}": row.mean_class_accuracy for name, row in rows.items()},
    }


def mean_over_splits(splits: Sequence[Mapping[str, Row]]) -> dict[str, Row]:
    """Return every row averaged over the splits, with the spread, in the first split's order.

    A tag is averaged over the splits whose test list has it. Raises ValueError when the splits do
    not hold the same rows.
    """
    if not splits:
        raise ValueError("a mean over splits needs at least one split, none came")
    for number, split in enumerate(splits, start=1):
        if split.keys() != splits[0].keys():
            raise ValueError(
                f"the splits do not hold the same rows: the first has {sorted(splits[0])}, "
                f"number {number} has {sorted(split)}"
            )
    return {name: _mean_of_rows([split[name] for split in splits]) for name in splits[0]}


def _mean_of_rows(rows: Sequence[Row]) -> Row:
    tags = dict.fromkeys(tag for row in rows for tag in row.by_tag)
    accuracies = [row.mean_class_accuracy for row in rows]
    return Row(
        mean_class_accuracy=statistics.fmean(accuracies),
        top1=statistics.fmean(row.top1 for row in rows),
        top5=statistics.fmean(row.top5 for row in rows),
        by_tag={
            tag: statistics.fmean(row.by_tag[tag] for row in rows if tag in row.by_tag)
            for tag in tags
        },
        spread=statistics.pstdev(accuracies),
    )


def accuracy_gain(row: Row, over: Row) -> float:
    """Return by how many points the mean class accuracy of one row is above that of another."""
    return 100 * (row.mean_class_accuracy - over.mean_class_accuracy)


def is_modality(name: str) -> bool:
    """Return whether a row is one modality alone."""
    return name != BASELINE and not is_combination(name)


def is_combination(name: str) -> bool:
    """Return whether a row is a fusion of several modalities."""
    return name != BASELINE and name not in MODALITIES
