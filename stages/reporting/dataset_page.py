"""What a dataset is like, for the report: facts in words, clips per class and their lengths, and
the videos that something is wrong with."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stages.reporting.figures.dataset_bars import draw_dataset_bars
from stages.reporting.page import Figure, Listing, Tile
from stages.reporting.tables import read_table
from tsn.lists import LEAKS, SURVEY, read_splits
from tsn.splits.leakage import BACKDROP

MOST_ROWS = 20  # of a listing
MOST_TILES = 60


def facts(lists: Path) -> dict[str, str]:
    """Return what the split stage wrote about the dataset, in words."""
    survey = read_table(lists / SURVEY, "video", "decoder", "defect")
    leaks = read_table(lists / LEAKS, "kind", "test", "train")
    splits = read_splits(lists)
    known = survey[survey["defect"] == ""]
    sizes = Counter(f"{w}x{h}" for w, h in zip(known["width"], known["height"], strict=True))
    rates = Counter(f"{rate:g}" for rate in known["frames_per_second"].round(2))
    is_backdrop = leaks["kind"] == BACKDROP
    leaked, backdrops = (
        leaks[rows].groupby("split")["test"].nunique() for rows in (~is_backdrop, is_backdrop)
    )
    per_class = Counter(video.split("/")[0] for video in survey["video"])
    return {
        "Classes": str(len(splits.classes)),
        "Videos": str(len(survey)),
        "Train / test": ", ".join(
            f"{len(train)} / {len(splits.test[split])}" for split, train in splits.train.items()
        ),
        "Clips a class": _span(list(per_class.values())),
        "Length, seconds": _span(known["seconds"].tolist()),
        "In all": f"{known['seconds'].sum() / 60:.1f} minutes, {known['frames'].sum()} frames",
        "Size, pixels": _most_common(sizes),
        "Frames a second": _most_common(rates),
        "Test videos that show a training video's scene, by split": ", ".join(
            str(leaked.get(split, 0)) for split in splits.train
        ),
        "Test videos before a backdrop that many share, by split": ", ".join(
            str(backdrops.get(split, 0)) for split in splits.train
        ),
        "Cannot be read": str(len(survey) - len(known)),
        "Headers that miscount": str(int((known["counted"] != known["frames"]).sum())),
    }


def listings(lists: Path, quarantine: Path, modalities: Sequence[str]) -> list[Listing]:
    """Return the videos that were set aside, and those whose headers miscount, if any."""
    survey = read_table(lists / SURVEY, "video", "decoder", "defect")
    return [*_set_aside(survey, quarantine, modalities), *_miscounted(survey, lists)]


def _set_aside(
    survey: pd.DataFrame, quarantine: Path, modalities: Sequence[str]
) -> Iterator[Listing]:
    found = survey.loc[survey["defect"] != "", ["video", "defect"]].assign(by="split")
    tables = [found.rename(columns={"defect": "reason"})]
    for name in modalities:
        unusable = read_table(quarantine / f"{name}.csv", "video", "reason")
        tables.append(unusable.assign(by=name))
    found_by: dict[tuple[str, str], list[str]] = {}
    for row in pd.concat(tables).itertuples():
        found_by.setdefault((str(row.video), str(row.reason)), []).append(str(row.by))
    rows = [(video, ", ".join(by), reason) for (video, reason), by in sorted(found_by.items())]
    if rows:
        yield Listing(
            title="Set aside",
            caption="Videos that cannot be used, and which stage found it: split, which looks at "
            f"every video, or the extraction for a modality{_more(rows, quarantine)}.",
            header=("Video", "Found by", "Reason"),
            rows=rows[:MOST_ROWS],
        )


def _miscounted(survey: pd.DataFrame, lists: Path) -> Iterator[Listing]:
    known = survey[survey["defect"] == ""]
    liars = known[known["counted"] != known["frames"]]
    order = (liars["counted"] - liars["frames"]).abs().sort_values(ascending=False, kind="stable")
    counts = liars.loc[order.index, ["video", "counted", "frames"]].astype(str)
    rows = list(counts.itertuples(index=False, name=None))
    if rows:
        yield Listing(
            title="Headers that miscount",
            caption="Videos of which more or fewer frames can be decoded than their header counts; "
            f"what can be decoded is used{_more(rows, lists / SURVEY)}.",
            header=("Video", "Counted", "Decoded"),
            rows=rows[:MOST_ROWS],
        )


def _more(rows: Sequence[object], path: Path) -> str:
    """Return how the caption ends when not all is shown."""
    more = len(rows) - MOST_ROWS
    return f"; {more} more are in {path}" if more > 0 else ""


def clips_figure(lists: Path, path: Path) -> Figure:
    """Return the figure of clips per class and of their lengths, drawn at `path`."""
    draw(lists, path)
    caption = "Clips of each class in the first split's lists, and how long the clips are."
    return Figure("Clips", caption, path)


def gallery(lists: Path, picture: Callable[[str], str]) -> list[Tile]:
    """Return a training clip of each class; of many classes, of some that are evenly spread.

    picture: gives a video's, as a page holds it.
    """
    splits = read_splits(lists)
    first = {row.label: row.video for row in reversed(splits.train[min(splits.train)])}
    labels = [label for label in range(len(splits.classes)) if label in first]
    places = np.linspace(0, len(labels) - 1, min(len(labels), MOST_TILES)).round().astype(int)
    return [
        Tile(picture=picture(first[labels[place]]), lines=[splits.classes[labels[place]]])
        for place in places
    ]


def draw(lists: Path, path: Path) -> None:
    """Draw the clips per class of the first split, and how long clips are."""
    splits = read_splits(lists)
    survey = read_table(lists / SURVEY, "video", "decoder", "defect")
    train, test = (
        np.bincount([v.label for v in side[min(side)]], minlength=len(splits.classes))
        for side in (splits.train, splits.test)
    )
    seconds = survey.loc[survey["defect"] == "", "seconds"].to_numpy()
    draw_dataset_bars(splits.classes, train, test, seconds, path)


def _span(values: list[float]) -> str:
    if not values:
        return "none"
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}, half up to {middle:.4g}"


def _most_common(counts: Counter[str]) -> str:
    """Return the three most common, with their numbers where there are several."""
    if len(counts) < 2:
        return "".join(counts) or "none"
    shown = ", ".join(f"{name} ({count})" for name, count in counts.most_common(3))
    return f"{shown}, {len(counts) - 3} more" if len(counts) > 3 else shown
