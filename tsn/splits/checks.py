"""What the lists of a split are held to: that they name videos, and are whole and apart."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsn.lists import ListedVideo, SplitError
from tsn.names import folded, normal


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many videos the whole dataset has, and the lists of every split, in order."""

    videos: int
    train: tuple[int, ...]
    test: tuple[int, ...]


def least_to_most(sizes: Collection[int]) -> str:
    """Return the least and the greatest of some sizes: `3 to 6`, or `6` where all are equal."""
    least, most = min(sizes), max(sizes)
    return str(least) if least == most else f"{least} to {most}"


@dataclass(frozen=True)
class Line:
    """Where a list names a video."""

    file: Path
    number: int
    video: str

    def error(self, text: str) -> SplitError:
        return SplitError(f"{self.file} line {self.number}: {text}")


class Spelling:
    """Finds the name that a person means: UCF101 writes HandstandPushups in two ways, and a disk
    may write an é as two characters."""

    def __init__(self, names: Iterable[str]) -> None:
        forms = (str, normal, lambda name: normal(name).casefold(), folded)
        self._names: list[tuple[Callable[[str], str], dict[str, list[str]]]] = [
            (form, defaultdict(list)) for form in forms
        ]
        for name in names:
            for form, found in self._names:
                found[form(name)].append(name)

    def find(self, name: str) -> str | None:
        """Return the one name that is this one, or that differs least; None without one."""
        for form, found in self._names:
            if same := found.get(form(name)):
                return same[0] if len(same) == 1 else None
        return None


def refuse_one_class(classes: Collection[str], source: Path | str) -> None:
    """Raise SplitError unless there are classes to tell apart."""
    if len(classes) < 2:
        raise SplitError(
            f"{source}: one class ({', '.join(classes)}), and a recogniser tells at least two "
            "apart: add clips of another, of what is none of that class for example"
        )


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
