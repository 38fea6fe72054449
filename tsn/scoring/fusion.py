"""Late fusion: a weighted sum of the modalities' scores before softmax (paper section 3.3)."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tsn.metrics import Scores
from tsn.modality import MODALITIES, modality
from tsn.scoring.scores import BASELINE, LEARNED, ScoreError, VideoScores

NAME = re.compile(r"\w+", re.ASCII)
TAKEN = (*MODALITIES, "class", BASELINE, LEARNED)  # other rows, and a column of their table


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Combinations by name, each a weight by modality, and the row that is the headline.

    A combination is a row of its own name, such as `two_stream`. The headline is chosen here and
    not by its test accuracy: the name of a combination, or of one modality. `learned` asks for one
    more row, of all modalities with fitted weights (tsn.scoring.learned).
    """

    headline: str
    combinations: dict[str, dict[str, float]]
    learned: bool

    def __post_init__(self) -> None:
        for name, weights in self.combinations.items():
            if name in TAKEN:
                raise ValueError(f"combination {name!r} has a name that is taken; use another")
            if not NAME.fullmatch(name):
                raise ValueError(f"combination {name!r}: a name is of letters, digits and _ only")
            for member, weight in weights.items():
                modality(member)
                if not 0 < weight < math.inf:
                    raise ValueError(f"combination {name!r}: the weight of {member} is {weight}")
            if len(weights) < 2:
                raise ValueError(f"combination {name!r} fuses at least two modalities: {weights}")
        if self.headline not in self.combinations and self.headline not in MODALITIES:
            raise ValueError(
                f"headline {self.headline!r} is no combination ({', '.join(self.combinations)}) "
                f"and no modality ({', '.join(MODALITIES)})"
            )

    def runnable(self, modalities: Collection[str]) -> dict[str, dict[str, float]]:
        """Return the weights, by name, of the combinations whose members are all run."""
        return {
            name: weights
            for name, weights in self.combinations.items()
            if weights.keys() <= set(modalities)
        }

    def not_run(self, modalities: Collection[str]) -> dict[str, str]:
        """Return the names of the other combinations, with what they lack."""
        found = {}
        for name, weights in self.combinations.items():
            if lacking := [member for member in weights if member not in modalities]:
                verb = "is" if len(lacking) == 1 else "are"
                found[name] = f"{', '.join(lacking)} {verb} not among modalities"
        return found

    def rows(self, modalities: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the weights of every row of the results: modalities, then what fuses them."""
        return {**{name: {name: 1.0} for name in modalities}, **self.runnable(modalities)}

    def headline_of(self, modalities: Sequence[str]) -> str:
        """Return the row of the result.

        Where a member of the headline is not run, that is the runnable combination of the most
        members, the first of equal ones; without any, the first modality alone.
        """
        if self.headline in self.rows(modalities):
            return self.headline
        fused = self.runnable(modalities)
        return max(fused, key=lambda name: len(fused[name]), default=modalities[0])


def describe_row(name: str, weights: Mapping[str, float]) -> str:
    """Return a row as people read it: `two_stream: rgb + 1.5 flow`, or one modality's name."""
    if list(weights) == [name]:
        return name
    members = (row if weight == 1 else f"{weight:g} {row}" for row, weight in weights.items())
    return f"{name}: {' + '.join(members)}"


def describe_not_run(reasons: Mapping[str, str]) -> str:
    """Return rows that are not run, those of a reason together: `a, b (flow is not among ...)`."""
    rows: dict[str, list[str]] = {}
    for row, reason in reasons.items():
        rows.setdefault(reason, []).append(row)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in rows.items())


def fuse(scores: Mapping[str, VideoScores], weights: Mapping[str, float]) -> Scores:
    """Return the weighted sum (V, C) of the named modalities' scores.

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
    """Return the sum of the modalities' scores, added in the order of `weights`."""
    total = sum(np.float32(weight) * scores[name] for name, weight in weights.items())
    return np.asarray(total, dtype=np.float32)


def common_videos(scores: Mapping[str, VideoScores]) -> dict[str, VideoScores]:
    """Return every cell, restricted to the videos that all of them scored.

    A video may be quarantined in one stream alone; rows of a table stand for the same videos.
    ScoreError when they were made for another dataset, split, class or order of videos.
    """
    shared = set.intersection(*(set(cell.videos) for cell in scores.values()))
    cells = {name: _restrict(cell, shared) for name, cell in scores.items()}
    first = next(iter(cells.values()))
    for cell in cells.values():
        refuse_other_scores(cell, first)
    return cells


def left_out(cells: Mapping[str, VideoScores], listed: Sequence[str]) -> str:
    """Say which videos of the test list not every modality has; empty when all have all."""
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
    """Raise ScoreError unless both score the same videos of the same split and classes."""
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
