"""The test videos that two results have in common, so that they can be compared pairwise.

A result is fused scores on the test list of each of its splits. Letters: V video, C class.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tsn.metrics import Labels, Scores
from tsn.recogniser.card import ReferenceScores


@dataclass(frozen=True, kw_only=True)
class PairedTests:
    """Scores (V, C) of two results on the same videos, split after split, with labels (V,).

    A video that several splits test is there once for each. `num_unpaired` test videos of the
    shared `splits` only one of the two has, or has with another content or label.
    """

    splits: tuple[int, ...]
    classes: tuple[str, ...]
    labels: Labels
    first: Scores
    second: Scores
    num_unpaired: int


def pair_tests(
    first: Mapping[int, ReferenceScores], second: Mapping[int, ReferenceScores]
) -> PairedTests:
    """Return the scores of both on the videos of the splits that both were tested on.

    Videos are known by their names; one whose SHA-256 is known of both has to be the same file. An
    unknown one is empty. Raises ValueError where no split is shared, or the classes differ.
    """
    splits = tuple(sorted(first.keys() & second.keys()))
    if not splits:
        raise ValueError(
            f"one was tested on splits {_numbers(first)}, the other on {_numbers(second)}: no test "
            "video in common"
        )
    classes = first[splits[0]].classes
    for tests in (*(first[split] for split in splits), *(second[split] for split in splits)):
        if tests.classes != classes:
            other = sorted(set(tests.classes) ^ set(classes)) or ["their order"]
            raise ValueError(f"the two know other classes: {', '.join(other[:5])}")
    rows = [_shared(first[split], second[split]) for split in splits]
    sizes = sum(len(first[split].videos) + len(second[split].videos) for split in splits)
    return PairedTests(
        splits=splits,
        classes=classes,
        labels=np.concatenate(
            [first[k].labels[ours] for k, (ours, _) in zip(splits, rows, strict=True)]
        ),
        first=np.concatenate(
            [first[k].scores[ours] for k, (ours, _) in zip(splits, rows, strict=True)]
        ),
        second=np.concatenate(
            [second[k].scores[theirs] for k, (_, theirs) in zip(splits, rows, strict=True)]
        ),
        num_unpaired=sizes - 2 * sum(len(ours) for ours, _ in rows),
    )


def _shared(first: ReferenceScores, second: ReferenceScores) -> tuple[list[int], list[int]]:
    """Return the rows of the shared videos, in the order of the first."""
    places = {video: row for row, video in enumerate(second.videos)}
    pairs = [(row, places[video]) for row, video in enumerate(first.videos) if video in places]
    same = [
        (ours, theirs)
        for ours, theirs in pairs
        if first.labels[ours] == second.labels[theirs]
        and ("" in (known := {first.sha256[ours], second.sha256[theirs]}) or len(known) == 1)
    ]
    return [ours for ours, _ in same], [theirs for _, theirs in same]


def _numbers(splits: Mapping[int, ReferenceScores]) -> str:
    return ", ".join(map(str, sorted(splits))) or "none"
