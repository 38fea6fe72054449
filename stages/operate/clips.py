"""The clips of a dataset that costs are told from, and which classes have few."""

from collections import Counter
from dataclasses import dataclass

from stages.runtime.places import DatasetPaths
from tsn.files import read_csv
from tsn.lists import SURVEY, SplitLists, read_splits
from tsn.sources.folder import CHECKSUM_COLUMNS

# Of a class, in each split: what six clips in three splits come to.
ENOUGH_TRAIN, ENOUGH_TEST = 4, 2


@dataclass(frozen=True, kw_only=True)
class Clips:
    """The clips of a dataset: its lists, how many frames they have, and their files' bytes."""

    lists: SplitLists
    frames: float
    bytes: float = 0.0


def taken_clips(paths: DatasetPaths) -> Clips:
    """Return the clips of a dataset that was split; FileNotFoundError where it was not."""
    checksums = read_csv(paths.checksums, CHECKSUM_COLUMNS)
    frames = read_csv(paths.splits / SURVEY, ("video", "frames"))
    return Clips(
        lists=read_splits(paths.splits),
        frames=sum(int(row["frames"]) for row in frames),
        bytes=sum(int(row["bytes"]) for row in checksums),
    )


def thin_classes(lists: SplitLists) -> dict[str, str]:
    """Return the classes with few clips in the training or test list of a split, and how few."""
    found: dict[str, str] = {}
    sizes = {
        split: [Counter(video.label for video in side) for side in (train, lists.test[split])]
        for split, train in lists.train.items()
    }
    for label, name in enumerate(lists.classes):
        for split, (train, test) in sizes.items():
            if train[label] < ENOUGH_TRAIN or test[label] < ENOUGH_TEST:
                few = f"{train[label]} to train, {test[label]} to test in split {split}"
                found.setdefault(name, few)
    return found
