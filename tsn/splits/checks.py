"""What the lists of a split are held to: that they name videos, and are whole and apart."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsn.lists import ListedVideo, SplitError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many videos the whole dataset has, and the lists of every split, in order."""

    videos: int
    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """Where a list names a video."""

    file: Path
    number: int
    video: str

    def error(self, text: str) -> SplitError:
        return SplitError(f"{self.file} line {self.number}: {text}")


class Spelling:
    """Finds the file that a list means: UCF101 writes HandstandPushups in two ways."""

    def __init__(self, videos: Sequence[str]) -> None:
        self._videos = frozenset(videos)
        self._folded: dict[str, list[str]] = defaultdict(list)
        for video in videos:
            self._folded[video.casefold()].append(video)

    def find(self, line: Line) -> str:
        """Return the id of the video that a line means; SplitError without one."""
        if line.video in self._videos:
            return line.video
        found = self._folded[line.video.casefold()]
        if len(found) != 1:
            raise line.error(f"no such video: {line.video}")
        return found[0]


def refuse_other_counts(
    split: int,
    train: Sequence[Line],
    test: Sequence[Line],
    counts: Counts | None,
    class_source: Path,
) -> None:
    """Raise SplitError unless the lists of a split are as long as the dataset's are."""
    if counts is None:
        return
    expected = counts.train[split - 1], counts.test[split - 1]
    if (len(train), len(test)) != expected:
        raise SplitError(
            f"{class_source.parent}: split {split} lists {len(train)} videos for training and "
            f"{len(test)} for the test, the dataset has {expected[0]} and {expected[1]}: fetch the "
            "lists again"
        )


def refuse_leaks(
    split: int,
    classes: tuple[str, ...],
    training: Mapping[str, tuple[Line, ListedVideo]],
    testing: Mapping[str, tuple[Line, ListedVideo]],
) -> None:
    """Raise SplitError for a video or a group on both sides, and a class with an empty side."""
    for video, (line, _) in testing.items():
        if video in training:
            other = training[video][0]
            raise line.error(f"{video} is in train too ({other.file} line {other.number})")
    trained = {(listed.label, listed.group) for _, listed in training.values()}
    for line, listed in testing.values():
        if listed.group and (listed.label, listed.group) in trained:
            raise line.error(
                f"group {listed.group} of {classes[listed.label]} is in train too (split {split})"
            )
    for side, lines in (("training", training), ("test", testing)):
        without = set(range(len(classes))) - {listed.label for _, listed in lines.values()}
        if without:
            names = ", ".join(classes[label] for label in sorted(without))
            raise SplitError(
                f"split {split} has no {side} video of: {names}; the mean over classes needs them "
                "all: add videos, change the groups, or leave the class out (`classes`)"
            )
