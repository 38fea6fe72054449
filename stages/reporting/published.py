"""The accuracies that the paper's authors published, by dataset and row."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published mean class accuracies: over three splits, and of single splits where known."""

    mean: float
    splits: Mapping[int, float]


# Wang et al., Temporal Segment Networks, ECCV 2016, section 4 and the authors' project page: means
# over the three official splits, and single splits where they were published (RGB and
# flow fused 1 : 1.5, with warped flow 1 : 1 : 0.5).
PUBLISHED: Mapping[str, Mapping[str, Published]] = {
    "ucf101": {
        "rgb": Published(mean=0.851, splits={1: 0.855, 2: 0.849, 3: 0.845}),
        "rgb_diff": Published(mean=0.877, splits={1: 0.865}),
        "flow": Published(mean=0.897, splits={1: 0.876, 2: 0.902, 3: 0.913}),
        "rgb+rgb_diff": Published(mean=0.910, splits={1: 0.907}),
        "rgb+flow": Published(mean=0.940, splits={1: 0.935, 2: 0.943, 3: 0.945}),
        "rgb+flow+warped_flow": Published(mean=0.942, splits={}),
    },
    "hmdb51": {
        "rgb": Published(mean=0.510, splits={1: 0.544, 2: 0.500, 3: 0.492}),
        "flow": Published(mean=0.632, splits={1: 0.624, 2: 0.633, 3: 0.639}),
        "rgb+flow": Published(mean=0.685, splits={1: 0.695, 2: 0.674, 3: 0.685}),
        "rgb+flow+warped_flow": Published(mean=0.694, splits={}),
    },
}
PAPER = {**PUBLISHED, "ucf101_paper": PUBLISHED["ucf101"]}  # by recipe


def find_published(
    paper: Mapping[str, Published], name: str, splits: Sequence[int]
) -> float | None:
    """Return the published counterpart of a mean over exactly these splits, None if there is none.

    The parts of a combination may come in any order.
    """
    parts = {frozenset(published.split("+")): cells for published, cells in paper.items()}
    cells = parts.get(frozenset(name.split("+")))
    if cells is None:
        return None
    if sorted(splits) == [1, 2, 3]:
        return cells.mean
    if any(split not in cells.splits for split in splits):
        return None
    return statistics.fmean(cells.splits[split] for split in splits)
