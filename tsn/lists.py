"""Lists of videos: who is trained on and who is tested, as files that every later stage reads.

Videos are ids `<class>/<file name>`; labels are positions in the class list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tsn.files import atomic_path, read_csv, write_csv

SURVEY, LEAKS, CONTACT_SHEET = "survey.csv", "leaks.csv", "classes.jpg"  # beside the lists
CSV_LIST, TAGS = "clips.csv", "tags.csv"  # that some sources write among their lists
CLASSES, VIDEOS = "classes.txt", "videos.txt"
TRAIN, TEST = "train.csv", "test.csv"  # of each split, in a folder of its number
PROMOTION = "promotion.csv"  # of all splits, if videos are held back for promotion
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
    """Class names in label order, and per split its training and test videos.

    promotion: videos in no split, held back to choose between recognisers; often none.
    """

    classes: tuple[str, ...]
    train: dict[int, tuple[ListedVideo, ...]]
    test: dict[int, tuple[ListedVideo, ...]]
    promotion: tuple[ListedVideo, ...] = ()

    @property
    def videos(self) -> list[str]:
        """Return the ids of all videos that any split has, sorted."""
        sides = (*self.train.values(), *self.test.values())
        return sorted({listed.video for side in sides for listed in side})


def write_splits(lists: SplitLists, folder: Path) -> None:
    """Write `classes.txt`, `videos.txt`, and `<k>/train.csv`, `<k>/test.csv` for every split.

    And `promotion.csv`, where videos are held back.
    """
    write_names(folder / CLASSES, lists.classes)
    write_names(folder / VIDEOS, lists.videos)
    for split in lists.train:
        for side, listed in ((TRAIN, lists.train[split]), (TEST, lists.test[split])):
            _write_list(folder / str(split) / side, listed)
    if lists.promotion:
        _write_list(folder / PROMOTION, lists.promotion)


def _write_list(path: Path, listed: Iterable[ListedVideo]) -> None:
    lines = ((row.video, row.label, row.group, ";".join(row.tags)) for row in listed)
    write_csv(path, COLUMNS, lines)


def read_splits(folder: Path) -> SplitLists:
    """Return the lists that `write_splits` wrote; FileNotFoundError where there are none."""
    splits = sorted(int(path.parent.name) for path in folder.glob(f"*/{TRAIN}"))
    held_back = folder / PROMOTION
    return SplitLists(
        classes=read_names(folder / CLASSES),
        train={split: tuple(read_list(folder / str(split) / TRAIN)) for split in splits},
        test={split: tuple(read_list(folder / str(split) / TEST)) for split in splits},
        promotion=tuple(read_list(held_back)) if held_back.is_file() else (),
    )


def write_names(path: Path, names: Iterable[str]) -> None:
    """Write class names in label order, or the ids of videos: one a line."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names that `write_names` wrote, in their order."""
    return tuple(path.read_text(encoding="utf-8").split("\n")[:-1])


def read_list(path: Path) -> list[ListedVideo]:
    """Return a list that `write_splits` wrote; ValueError for a file of other columns."""
    return [
        ListedVideo(row["video"], int(row["label"]), row["group"], words(row["tags"]))
        for row in read_csv(path, COLUMNS)
    ]


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text like `pan;motion`."""
    return tuple(word for word in text.split(";") if word)


def read_digests(checksums: Path) -> dict[str, str]:
    """Return the SHA-256 of every video in the checksums that the download writes."""
    return {row["video"]: row["sha256"] for row in read_csv(checksums, ("video", "sha256"))}
