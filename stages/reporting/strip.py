"""The scores of one clip over time, below its frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.reporting.learned import most_changing, snippet_shares
from stages.reporting.thumbnails import Thumbnails
from tsn.modality import modality
from tsn.scoring.scores import VideoScores
from tsn.snippets.sampling import testing_starts

MOST_CLASSES = 6
LEAST_SHARE = 0.05  # of a class that is shown beside the true one


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A clip's snippets: the frame that each begins with (as a page holds it, or none at all), its
    number, and the probability of the true class, then of others, in percent."""

    caption: str
    starts: Sequence[int]
    frames: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]


def draw_strip(
    cells: Mapping[str, VideoScores],
    weights: Mapping[str, float],
    headline: str,
    thumbnails: Thumbnails,
) -> Strip:
    """Return the strip of the clip whose snippets disagree most."""
    shares = snippet_shares(cells, weights)
    cell, place = next(iter(cells.values())), most_changing(shares)
    video, length = cell.videos[place], modality(cell.modality).snippet_length
    entries = max(thumbnails.entries(video), length)
    starts = [int(start) for start in testing_starts(entries, shares.shape[1], length)]
    truth = cell.classes[cell.labels[place]]
    return Strip(
        caption=f"{video} of split {cell.split}, whose snippets {headline} takes for the most "
        "different classes: the probability of each class in %, and the frame at which the snippet "
        f"begins. It is {truth}.",
        starts=[start + 1 for start in starts],
        frames=thumbnails.pictures(video, starts),
        rows=rows_of(shares[place], cell.classes, truth),
    )


def rows_of(
    shares: npt.NDArray[np.floating], classes: Sequence[str], truth: str
) -> list[tuple[str, list[int]]]:
    """Return the percentages (S) of the true class, then of those that a snippet of shares (S, C)
    is most taken for."""
    most = shares.max(axis=0)
    order = np.argsort(-most, kind="stable")
    others = [int(c) for c in order if classes[c] != truth and most[c] >= LEAST_SHARE]
    shown = [list(classes).index(truth), *others[: MOST_CLASSES - 1]]
    return [(classes[c], [round(100 * float(share)) for share in shares[:, c]]) for c in shown]
