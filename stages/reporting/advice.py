"""What the report says where one stream alone is better than the headline that fuses it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from stages.reporting.result_tables import percent
from stages.reporting.results import Results, accuracy_gain, is_combination
from tsn.scoring.fusion import describe_row
from tsn.scoring.scores import LEARNED
from tsn.scoring.significance import mcnemar

FITTED = "fitted"  # what the combination is called that the page proposes
LEAST_WEIGHT = 0.05  # of the largest
CHANCE = 0.05  # a larger p says nothing


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Sentences, and the lines of the recipe that they lead to."""

    sentences: Sequence[str]
    lines: str


def advise(found: Results, right: Mapping[str, npt.NDArray[np.bool_]]) -> Advice | None:
    """Return what to do where the headline is a fusion, and one of the streams is better.

    right: of the headline and each modality, which tests it passes; in the same order.
    """
    mean, headline = found.mean, found.headline
    best = max(found.modalities, key=lambda name: mean[name].mean_class_accuracy)
    if not is_combination(headline) or accuracy_gain(mean[best], mean[headline]) <= 0:
        return None
    mine, other = right[best], right[headline]
    wins, losses = int((mine & ~other).sum()), int((other & ~mine).sum())
    p = mcnemar(wins, losses)
    members = [name for name in found.weights[headline] if name != best]
    weakest = min(members, key=lambda name: mean[name].mean_class_accuracy)
    remedy, lines = _remedy(found, best)
    return Advice(
        sentences=[
            f"{best} alone has {_points(found, best)} %, the headline {headline} "
            f"{_points(found, headline)} %. {best} is right on {wins} test videos that "
            f"{headline} has wrong; on {losses} it is the other way round. "
            + (
                f"Such a difference may well be chance (McNemar's p = {p:.2f})."
                if p > CHANCE
                else f"That is hardly chance (McNemar's p = {p:.2g})."
            ),
            f"Fixed weights suit networks that are about equally good. Here {weakest}, with "
            f"{_points(found, weakest)} %, counts {found.weights[headline][weakest]:g}.",
            *remedy,
            "These numbers are of the test lists. A result that is chosen by them looks somewhat "
            "better than it is.",
        ],
        lines=lines,
    )


def _points(found: Results, name: str) -> str:
    return percent(found.mean[name].mean_class_accuracy, few=found.tested.few)


def _remedy(found: Results, best: str) -> tuple[list[str], str]:
    """Return what to do, in words, and as lines of the recipe."""
    stream = f"fusion:\n  headline: {best}"
    if found.learned:
        weights = mean_weights(found.learned)
        if accuracy_gain(found.mean[LEARNED], found.mean[best]) < 0:
            text = (
                f"Weights that are fitted on training videos give {_points(found, LEARNED)} %, and "
                f"no more than {best} alone. Take that stream for the result:"
            )
            return [text], stream
        if len(weights) < 2:
            return ["The fitted weights, too, take one stream alone:"], stream
        members = ", ".join(f"{name}: {weight:g}" for name, weight in weights.items())
        text = (
            f"Weights that are fitted on training videos give {_points(found, LEARNED)} %. To have "
            f"them ({describe_row('their mean', weights)}) as the result, add to the recipe:"
        )
        lines = f"  headline: {FITTED}\n  combinations:\n    {FITTED}: {{{members}}}"
        return [text], f"fusion:\n{lines}"
    if reason := found.not_run.get(LEARNED):
        text = f"Weights could not be fitted ({reason}). With two splits or more they can; or:"
        return [text], stream
    text = (
        "Have weights fitted on those training videos of a split that other splits test, which "
        "needs two splits or more in params.yaml, and look at the row `learned`:"
    )
    return [text], "fusion:\n  learned: true"


def mean_weights(learned: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of the splits' weights, the largest as 1, without those of nearly nothing."""
    names = list(next(iter(learned.values())))
    mean = {name: fmean(weights[name] for weights in learned.values()) for name in names}
    most = max(mean.values())
    return {n: round(w / most, 2) for n, w in mean.items() if w >= LEAST_WEIGHT * most}
