"""Videos to compare two recognisers on: those held back for it, or the challenger's tests.

Never one that either was trained on.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass

import numpy as np

from tsn.metrics import Labels, Scores
from tsn.recogniser.card import ReferenceScores


@dataclass(frozen=True, kw_only=True)
class SharedTestSet:
    """Both recognisers' scores (V, C) of the same videos, with labels (V,) among `classes`.

    `num_scored` of them the champion had to score anew, as they are not in its own test list;
    `num_left_out` more of the list it was trained on. held_back: whether they are the videos that
    are held back for promotion, and no test list.
    """

    classes: tuple[str, ...]
    labels: Labels
    champion: Scores
    challenger: Scores
    num_scored: int
    num_left_out: int
    held_back: bool = False


def shared_test_set(
    champion: ReferenceScores,
    challenger: ReferenceScores,
    trained_on: Set[str],
    score: Callable[[str], Scores],
) -> SharedTestSet:
    """Return the challenger's test list, as far as the champion was not trained on it.

    Videos are known by their SHA-256: `trained_on` has those of the champion's training. `score`
    gives the champion's scores (C,) of a video of the challenger's list by its id. ValueError when
    the two know other classes.
    """
    refuse_other_classes(champion.classes, challenger.classes)
    known = dict(zip(champion.sha256, champion.scores, strict=True))
    rows, scores, num_scored = [], [], 0
    for row, (video, digest) in enumerate(zip(challenger.videos, challenger.sha256, strict=True)):
        if digest not in known:
            if digest in trained_on:
                continue
            known[digest] = score(video)
            num_scored += 1
        rows.append(row)
        scores.append(known[digest])
    return SharedTestSet(
        classes=challenger.classes,
        labels=challenger.labels[rows],
        champion=np.array(scores, np.float32).reshape(-1, len(champion.classes)),
        challenger=challenger.scores[rows],
        num_scored=num_scored,
        num_left_out=len(challenger.videos) - len(rows),
    )


def held_back_test_set(
    champion: ReferenceScores, challenger: ReferenceScores, trained_on: Set[str]
) -> SharedTestSet | None:
    """Return the videos that both have scores of, as far as neither was trained on them.

    trained_on: the SHA-256 of what either was trained on. None where that leaves a class of them
    without a video: a recogniser of before they were held back was trained on most.
    """
    refuse_other_classes(champion.classes, challenger.classes)
    known = dict(zip(champion.sha256, champion.scores, strict=True))
    rows = [
        row
        for row, digest in enumerate(challenger.sha256)
        if digest in known and digest not in trained_on
    ]
    labels = challenger.labels[rows]
    if not rows or set(labels) != set(challenger.labels):
        return None
    return SharedTestSet(
        classes=challenger.classes,
        labels=labels,
        champion=np.array([known[challenger.sha256[row]] for row in rows], np.float32),
        challenger=challenger.scores[rows],
        num_scored=0,
        num_left_out=len(challenger.videos) - len(rows),
        held_back=True,
    )


def refuse_other_classes(champion: tuple[str, ...], challenger: tuple[str, ...]) -> None:
    """Raise ValueError unless two recognisers know the same classes in the same order."""
    if champion != challenger:
        other = sorted(set(champion) ^ set(challenger)) or "their order"
        raise ValueError(
            f"champion and challenger know other classes ({other}): accuracies of the two cannot "
            "be compared; look at both, and choose one with `tsn promote`"
        )
