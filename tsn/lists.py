"""Lists of videos: who is trained on and who is tested, as files that every later stage reads.

Videos are ids `<class>/<file name>`; labels are positions in the class list.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tsn.files import atomic_path, write_csv

SURVEY, LEAKS, CONTACT_SHEET = "survey.csv", "leaks.csv", "classes.jpg"  # beside the lists
COLUMNS = ("video", "label", "group", "tags")


class SplitError(ValueError):
    """A list that cannot be used as it is."""


@dataclass(frozen=True)
class ListedVideo:
    """A line of a split list. Tags are free words that results can be broken down by."""

    video: str
    label: int
    group: str
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SplitLists:
    """Class names in label order, and per split its training and test videos."""

    classes: tuple[str, ...]
    train: dict[int, tuple[ListedVideo, ...]]
    test: dict[int, tuple[ListedVideo, ...]]

    @property
    def videos(self) -> list[str]:
        """The ids of all videos that any list has, sorted."""
        sides = (*self.train.values(), *self.test.values())
        return sorted({listed.video for side in sides for listed in side})


def write_splits(lists: SplitLists, folder: Path) -> None:
    """`classes.txt`, `videos.txt`, and `<k>/train.csv`, `<k>/test.csv` for every split."""
    write_names(folder / "classes.txt", lists.classes)
    write_names(folder / "videos.txt", lists.videos)
    for split in lists.train:
        for side, listed in (("train", lists.train[split]), ("test", lists.test[split])):
            lines = ((row.video, row.label, row.group, ";".join(row.tags)) for row in listed)
            write_csv(folder / str(split) / f"{side}.csv", COLUMNS, lines)


def write_names(path: Path, names: Iterable[str]) -> None:
    """Class names in label order, or the ids of videos: one a line."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def read_names(path: Path) -> tuple[str, ...]:
    """What `write_names` wrote."""
    return tuple(path.read_text(encoding="utf-8").split("\n")[:-1])


def read_list(path: Path) -> list[ListedVideo]:
    """A list written by `write_splits`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and tuple(rows[0]) != COLUMNS:
        raise SplitError(f"{path}: expected the columns {','.join(COLUMNS)}, got {list(rows[0])}")
    return [
        ListedVideo(row["video"], int(row["label"]), row["group"], words(row["tags"]))
        for row in rows
    ]


def words(text: str) -> tuple[str, ...]:
    """The words of a text like `pan;motion`."""
    return tuple(word for word in text.split(";") if word)
