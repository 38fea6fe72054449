"""Test videos that were trained on under another name: the same bytes, or the same scene.

A picture cannot tell one recording cut in two from two people before one wall. So a scene counts
only where few groups of the training list have it: what more have is the dataset's own backdrop,
and is told apart. Clips that hardly differ are leaks before any backdrop, and so are all where
clips have no groups: nothing tells their backdrop from their leaks.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tsn.files import write_csv
from tsn.lists import ListedVideo, SplitLists

SAME_BYTES = "same bytes"
SAME_SCENE = "same scene"
BACKDROP = "backdrop"  # alike, but so are too many groups

# Of 64 bits, in the mean over the frames. In four classes of UCF101 the next training clip differs
# in up to 4 bits where one video was cut into two groups, and else in 10 to 30.
MOST_DIFFERENT_BITS = 4.0
NEARLY_IDENTICAL_BITS = 1.0  # one clip encoded twice
# A scene of more groups than these is a backdrop: so alike that they differ in half the bits that
# unrelated pictures do (32). Weizmann's walls, UCF101's rooms: docs/results.md.
BACKDROP_BITS = 16.0
MOST_GROUPS, MOST_GROUPS_SHARE = 2, 0.1  # whichever is more

LEAKED, CLEAN = "leaked", "clean"  # tags of test videos, for accuracy with and without leaks
KEEP, DROP = "keep", "drop"


class Leak(NamedTuple):
    """A test video and the training video that it is. `different_bits` of 64, in the mean."""

    test: str
    train: str
    kind: str
    different_bits: float


class Findings(NamedTuple):
    """The leaks of a split, by test video, and what is none as its scene is the dataset's backdrop.

    Of the latter, each test video comes with the training video most like it.
    """

    leaks: list[Leak]
    backdrops: list[Leak]


def find_leaks(
    train: Sequence[ListedVideo],
    test: Sequence[ListedVideo],
    digests: Mapping[str, str],
    hashes: Mapping[str, Sequence[str]],
) -> Findings:
    """Return the test videos of a split that are trained on, or look so.

    `digests` are the SHA-256 of the videos; `hashes` the difference hashes of frames of each, at
    the same positions in all, "" for a frame that says nothing. The same scene is a backdrop where
    more groups of the training list show it than can be pieces of one recording.
    """
    of_digest = defaultdict(list)
    for row in train:
        of_digest[digests[row.video]].append(row.video)
    leaks = {
        (row.video, twin): Leak(row.video, twin, SAME_BYTES, 0.0)
        for row in test
        for twin in of_digest[digests[row.video]]
    }
    alike = list(_same_scene(train, test, hashes))
    for leak in alike:
        if leak.kind == SAME_SCENE:
            leaks.setdefault((leak.test, leak.train), leak)
    leaked = {video for video, _ in leaks}
    backdrops: dict[str, Leak] = {}
    for leak in sorted(alike, key=lambda leak: (leak.test, leak.different_bits, leak.train)):
        if leak.test not in leaked:
            backdrops.setdefault(leak.test, leak)
    return Findings([leaks[pair] for pair in sorted(leaks)], list(backdrops.values()))


def treat_leaks(lists: SplitLists, found: Mapping[int, Findings], treatment: str) -> SplitLists:
    """Return the lists with leaked test videos told by tags (KEEP), or not trained on (DROP).

    ValueError for a class of which nothing is left to train on.
    """
    if treatment == KEEP:
        if not any(leaks for leaks, _ in found.values()):
            return lists
        test = {k: tag_leaks(rows, found[k].leaks) for k, rows in lists.test.items()}
        return replace(lists, test=test)
    train = {k: drop_leaks(rows, found[k].leaks) for k, rows in lists.train.items()}
    for split, rows in train.items():
        left = {row.label for row in rows}
        emptied = [name for label, name in enumerate(lists.classes) if label not in left]
        if emptied:
            raise ValueError(
                f"leaks: drop leaves split {split} no training video of {', '.join(emptied)}; "
                "keep them, or leave the class out (`classes`)"
            )
    return replace(lists, train=train)


def tag_leaks(test: Sequence[ListedVideo], leaks: Sequence[Leak]) -> tuple[ListedVideo, ...]:
    """Return the test list with tags that tell leaked videos from the others."""
    leaked = {leak.test for leak in leaks}
    return tuple(
        replace(row, tags=(*row.tags, LEAKED if row.video in leaked else CLEAN)) for row in test
    )


def unseen_videos(
    train: Mapping[int, Sequence[ListedVideo]], test: Mapping[int, Sequence[ListedVideo]]
) -> dict[int, set[str]]:
    """Return of each split the training videos that are no leak in any split's test list.

    The networks that such a leak is tested with have seen it.
    """
    leaked = {row.video for listed in test.values() for row in listed if LEAKED in row.tags}
    return {split: {row.video for row in listed} - leaked for split, listed in train.items()}


def drop_leaks(train: Sequence[ListedVideo], leaks: Sequence[Leak]) -> tuple[ListedVideo, ...]:
    """Return the training list without the videos that are in the test."""
    dropped = {leak.train for leak in leaks}
    return tuple(row for row in train if row.video not in dropped)


def write_leaks(path: Path, found: Mapping[int, Findings]) -> None:
    """Write the findings of every split, a line each; the kind tells leaks from the backdrop."""
    lines = (
        (split, *row[:3], f"{row.different_bits:.1f}")
        for split, (leaks, backdrops) in found.items()
        for row in (*leaks, *backdrops)
    )
    write_csv(path, ("split", *Leak._fields), lines)


def _same_scene(
    train: Sequence[ListedVideo], test: Sequence[ListedVideo], hashes: Mapping[str, Sequence[str]]
) -> Iterator[Leak]:
    """Yield all pairs of one scene: of the kind BACKDROP where that is the dataset's."""
    known = [row for row in train if _says_something(hashes[row.video])]
    bits = _as_numbers([hashes[row.video] for row in known])
    if not known:
        return
    names, group = np.unique([f"{row.label} {row.group}" for row in known], return_inverse=True)
    most_groups = max(MOST_GROUPS, MOST_GROUPS_SHARE * len(names)) if _has_groups(train) else np.inf
    for row in test:
        if not _says_something(hashes[row.video]):
            continue
        distances = np.bitwise_count(bits ^ _as_numbers([hashes[row.video]])).mean(axis=1)
        on_backdrop = len(np.unique(group[distances <= BACKDROP_BITS])) > most_groups
        for index in np.flatnonzero(distances <= MOST_DIFFERENT_BITS):
            is_backdrop = on_backdrop and distances[index] > NEARLY_IDENTICAL_BITS
            kind = BACKDROP if is_backdrop else SAME_SCENE
            yield Leak(row.video, known[index].video, kind, float(distances[index]))


def _has_groups(rows: Sequence[ListedVideo]) -> bool:
    """Return whether clips share groups: without a pattern, each has one called after its file."""
    groups = [row.group for row in rows if row.group not in (row.video, Path(row.video).name)]
    return len(set(groups)) < len(groups)


def _says_something(hashes: Sequence[str]) -> bool:
    return bool(hashes) and all(hashes)


def _as_numbers(hashes: Sequence[Sequence[str]]) -> npt.NDArray[np.uint64]:
    return np.array([[int(text, 16) for text in row] for row in hashes], dtype=np.uint64)
