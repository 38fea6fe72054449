"""How many test videos stand behind an accuracy, and how far it can be trusted."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tsn.lists import ListedVideo
from tsn.scoring.scores import VideoScores

Z = 1.959964  # of a two-sided interval of 95 %
FEW = 30  # test videos: of fewer, a tenth of a percent says nothing


@dataclass(frozen=True, kw_only=True)
class VideoCounts:
    """The test videos that all rows were scored on.

    splits: how many of each split. classes, tags: how many of each class and with each tag, over
    all splits; a video that several splits test counts once.
    """

    splits: Mapping[int, int]
    classes: Mapping[str, int]
    tags: Mapping[str, int]

    @property
    def videos(self) -> int:
        """Return how many videos were tested."""
        return sum(self.classes.values())

    @property
    def few(self) -> bool:
        """Return whether a split has too few for a tenth of a percent."""
        return min(self.splits.values()) < FEW

    @property
    def weight(self) -> float:
        """Return how many videos a mean over classes is worth."""
        return worth(self.classes.values())


def worth(counts: Iterable[int]) -> float:
    """Return how many videos a mean over classes is worth, by how many each of them has.

    Fewer than there are, where some classes have few of them. With equal accuracies the mean has
    the variance of so many videos.
    """
    some = [count for count in counts if count]
    return len(some) ** 2 / sum(1 / count for count in some)


def count_tested(
    cells: Mapping[int, VideoScores], lists: Mapping[int, Sequence[ListedVideo]]
) -> VideoCounts:
    """Count the videos of one modality's cells, by split, and what the test lists say of them."""
    labels = {
        video: cell.classes[label]
        for cell in cells.values()
        for video, label in zip(cell.videos, cell.labels, strict=True)
    }
    tags = {row.video: row.tags for rows in lists.values() for row in rows if row.video in labels}
    words = sorted({word for found in tags.values() for word in found})
    classes = next(iter(cells.values())).classes
    found = list(labels.values())
    return VideoCounts(
        splits={split: len(cell.videos) for split, cell in cells.items()},
        classes={name: found.count(name) for name in classes},
        tags={word: sum(word in found for found in tags.values()) for word in words},
    )


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of `count` independent trials.

    Wilson, *Probable inference, the law of succession, and statistical inference*, 1927: it stays
    within 0..1, and of few trials, all of them right, it is not a point.
    """
    extra = Z**2 / count
    middle = share + extra / 2
    half = Z * math.sqrt(share * (1 - share) / count + extra / (4 * count))
    low, high = ((middle + sign * half) / (1 + extra) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)
