"""Test videos that were trained on under another name: the same bytes, or the same scene.

A picture cannot tell one recording cut in two from two people before one wall. So a scene counts
only where few groups of the training list have it: what more have is the dataset's own stage.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tsn.atomic import write_csv
from tsn.lists import ListedVideo

SAME_BYTES = "same bytes"
SAME_SCENE = "same scene"

# Of 64 bits, in the mean over the frames. In four classes of UCF101 the next training clip differs
# in up to 4 bits where one video was cut into two groups, and else in 10 to 30.
MOST_DIFFERENT_BITS = 4.0
# A scene of more groups than these is a stage: so alike that they differ in half the bits that
# unrelated pictures do (32). Weizmann's walls, UCF101's rooms: docs/results.md.
STAGE_BITS = 16.0
MOST_GROUPS, MOST_GROUPS_SHARE = 2, 0.1  # whichever is more

LEAKED, CLEAN = "leaked", "clean"  # tags of test videos, for accuracy with and without leaks
KEEP, DROP = "keep", "drop"


class Leak(NamedTuple):
    """A test video and the training video that it is. `different_bits` of 64, in the mean."""

    test: str
    train: str
    kind: str
    different_bits: float


def find_leaks(
    train: Sequence[ListedVideo],
    test: Sequence[ListedVideo],
    digests: Mapping[str, str],
    hashes: Mapping[str, Sequence[str]],
) -> list[Leak]:
    """Return the leaks of a split, by test video.

    `digests` are the SHA-256 of the videos; `hashes` the difference hashes of frames of each, at
    the same positions in all, "" for a frame that says nothing. The same scene is none where more
    groups of the training list show it than can be pieces of one recording.
    """
    of_digest = defaultdict(list)
    for row in train:
        of_digest[digests[row.video]].append(row.video)
    leaks = {
        (row.video, twin): Leak(row.video, twin, SAME_BYTES, 0.0)
        for row in test
        for twin in of_digest[digests[row.video]]
    }
    for leak in _same_scene(train, test, hashes):
        leaks.setdefault((leak.test, leak.train), leak)
    return [leaks[pair] for pair in sorted(leaks)]


def tag_leaks(test: Sequence[ListedVideo], leaks: Sequence[Leak]) -> tuple[ListedVideo, ...]:
    """Return the test list with tags that tell leaked videos from the others."""
    leaked = {leak.test for leak in leaks}
    return tuple(
        replace(row, tags=(*row.tags, LEAKED if row.video in leaked else CLEAN)) for row in test
    )


def drop_leaks(train: Sequence[ListedVideo], leaks: Sequence[Leak]) -> tuple[ListedVideo, ...]:
    """Return the training list without the videos that are in the test."""
    dropped = {leak.train for leak in leaks}
    return tuple(row for row in train if row.video not in dropped)


def write_leaks(path: Path, leaks: Mapping[int, Sequence[Leak]]) -> None:
    """Write the leaks of every split, a line each."""
    lines = (
        (split, *row[:3], f"{row.different_bits:.1f}")
        for split, rows in leaks.items()
        for row in rows
    )
    write_csv(path, ("split", *Leak._fields), lines)


def _same_scene(
    train: Sequence[ListedVideo], test: Sequence[ListedVideo], hashes: Mapping[str, Sequence[str]]
) -> Iterator[Leak]:
    known = [row for row in train if _says_something(hashes[row.video])]
    bits = _as_numbers([hashes[row.video] for row in known])
    if not known:
        return
    names, group = np.unique([f"{row.label} {row.group}" for row in known], return_inverse=True)
    most_groups = max(MOST_GROUPS, MOST_GROUPS_SHARE * len(names))
    for row in test:
        if not _says_something(hashes[row.video]):
            continue
        distances = np.bitwise_count(bits ^ _as_numbers([hashes[row.video]])).mean(axis=1)
        if len(np.unique(group[distances <= STAGE_BITS])) > most_groups:
            continue
        for index in np.flatnonzero(distances <= MOST_DIFFERENT_BITS):
            yield Leak(row.video, known[index].video, SAME_SCENE, float(distances[index]))


def _says_something(hashes: Sequence[str]) -> bool:
    return bool(hashes) and all(hashes)


def _as_numbers(hashes: Sequence[Sequence[str]]) -> npt.NDArray[np.uint64]:
    return np.array([[int(text, 16) for text in row] for row in hashes], dtype=np.uint64)
