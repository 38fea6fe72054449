"""Videos to compare two recognisers on: the challenger's tests, less what trained the champion."""

from collections.abc import Callable, Set
from dataclasses import dataclass

import numpy as np

from tsn.metrics import Labels, Scores
from tsn.recogniser.folder import ReferenceScores


@dataclass(frozen=True, kw_only=True)
class SharedTestSet:
    """Both recognisers' scores (V, C) of the same videos, with labels (V,) among `classes`.

    `num_scored` of them the champion had to score anew, as they are not in its own test list;
    `num_left_out` more of the challenger's test list it was trained on.
    """

    classes: tuple[str, ...]
    labels: Labels
    champion: Scores
    challenger: Scores
    num_scored: int
    num_left_out: int


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
    if champion.classes != challenger.classes:
        other = sorted(set(champion.classes) ^ set(challenger.classes)) or "their order"
        raise ValueError(
            f"champion and challenger know other classes ({other}): accuracies of the two cannot "
            "be compared; look at both, and choose one with `tsn promote`"
        )
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
