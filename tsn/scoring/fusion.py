"""Late fusion: a weighted sum of the modalities' scores before softmax (paper section 3.3)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tsn.metrics import Scores
from tsn.modality import modality
from tsn.scoring.scores import ScoreError, VideoScores


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Combinations of modalities, each named by its members, and the one that is the result.

    The headline is chosen here and not by its test accuracy.
    """

    headline: str
    combinations: dict[str, dict[str, float]]

    def __post_init__(self) -> None:
        if self.headline not in self.combinations:
            raise ValueError(
                f"headline {self.headline!r} is no combination: {', '.join(self.combinations)}"
            )
        for name, weights in self.combinations.items():
            if sorted(name.split("+")) != sorted(weights):
                raise ValueError(
                    f"combination {name!r} is called by its members: {'+'.join(weights)!r}"
                )
            if len(weights) < 2:
                raise ValueError(f"combination {name!r} fuses at least two modalities: {weights}")
            for member, weight in weights.items():
                modality(member)
                if not 0 < weight < math.inf:
                    raise ValueError(f"combination {name!r}: the weight of {member} is {weight}")


def fuse(scores: Mapping[str, VideoScores], weights: Mapping[str, float]) -> Scores:
    """The weighted sum (V, C) of the named modalities' scores.

    ScoreError when one is missing or was made for another dataset, split, class or video list.
    """
    missing = [name for name in weights if name not in scores]
    if missing:
        raise ScoreError(
            f"fusion needs scores of {', '.join(missing)}; there are: {', '.join(sorted(scores))}"
        )
    first = scores[next(iter(weights))]
    for name in weights:
        refuse_other_scores(scores[name], first)
    return weighted_sum({name: scores[name].scores for name in weights}, weights)


def weighted_sum(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """The sum of the modalities' scores, added in the order of `weights`."""
    total = sum(np.float32(weight) * scores[name] for name, weight in weights.items())
    return np.asarray(total, dtype=np.float32)


def common_videos(scores: Mapping[str, VideoScores]) -> dict[str, VideoScores]:
    """Every cell, restricted to the videos that all of them scored.

    A video may be quarantined in one stream alone; rows of a table stand for the same videos.
    """
    shared = set.intersection(*(set(cell.videos) for cell in scores.values()))
    return {name: _restrict(cell, shared) for name, cell in scores.items()}


def left_out(cells: Mapping[str, VideoScores], listed: Sequence[str]) -> str:
    """Says which videos of the test list not every modality has; empty when all have all."""
    scored = next(iter(cells.values())).videos
    missing = sorted(set(listed) - set(scored))
    names = f"{', '.join(missing[:10])}{', ...' if len(missing) > 10 else ''}"
    return (
        f"{len(missing)} of {len(listed)} test videos are left out of every row, as not every "
        f"modality has them: {names}"
        if missing
        else ""
    )


def _restrict(cell: VideoScores, videos: set[str]) -> VideoScores:
    kept = [index for index, video in enumerate(cell.videos) if video in videos]
    return replace(
        cell,
        videos=tuple(cell.videos[index] for index in kept),
        labels=cell.labels[kept],
        snippets=cell.snippets[kept],
        scores=cell.scores[kept],
    )


def refuse_other_scores(scores: VideoScores, expected: VideoScores) -> None:
    """ScoreError unless both score the same videos of the same split and classes."""
    for field in ("dataset", "split", "classes", "videos"):
        found, wanted = getattr(scores, field), getattr(expected, field)
        if found != wanted:
            raise ScoreError(
                f"the scores of {scores.modality} are of another {field} than those of "
                f"{expected.modality}: {_difference(found, wanted)}; score both again"
            )
    if not np.array_equal(scores.labels, expected.labels):
        raise ScoreError(f"{scores.modality} and {expected.modality} were scored with other labels")


def _difference(found: object, wanted: object) -> str:
    if not isinstance(found, tuple) or not isinstance(wanted, tuple):
        return f"{found!r} against {wanted!r}"
    only = [*sorted(set(found) - set(wanted)), *sorted(set(wanted) - set(found))]
    shown = ", ".join(map(str, only[:5])) or "the order"
    return f"{len(found)} against {len(wanted)}, they differ in {shown}"
