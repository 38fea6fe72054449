"""A part of a dataset: some classes of its lists, or so many clips of each."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest

from tsn.lists import ListedVideo, SplitError
from tsn.names import same_name


def chosen_classes(names: Sequence[str], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the classes to keep, in the order of the list; SplitError for one it does not have."""
    if wanted is None:
        return tuple(names)
    meant = {name: same_name(name, names) for name in wanted}
    unknown = [name for name in wanted if meant[name] is None]
    if unknown:
        raise SplitError(f"classes names {unknown}, which the lists do not have: {list(names)}")
    return tuple(name for name in names if name in meant.values())


def fewer(
    train: Sequence[ListedVideo], test: Sequence[ListedVideo], clips_per_class: int | None
) -> tuple[tuple[ListedVideo, ...], tuple[ListedVideo, ...]]:
    """Return both lists with so many clips of each class, at their shares and in their order."""
    if clips_per_class is None:
        return tuple(train), tuple(test)
    kept: set[str] = set()
    for label in {row.label for row in train}:
        sides = [[row for row in side if row.label == label] for side in (train, test)]
        num_clips = sum(map(len, sides))
        share = round(clips_per_class * len(sides[1]) / num_clips)
        num_test = min(max(1, share), clips_per_class - 1)
        num_train = clips_per_class - num_test
        for side, count in zip(sides, (num_train, num_test), strict=True):
            groups = defaultdict(list)
            for row in sorted(side, key=lambda row: (row.group, row.video)):
                groups[row.group].append(row.video)
            kept |= set(_spread(list(groups.values()), count))
    train, test = ([row for row in side if row.video in kept] for side in (train, test))
    return tuple(train), tuple(test)


def _spread(groups: Sequence[Sequence[str]], count: int) -> list[str]:
    """Return `count` videos: one of every group in turn, of too many groups evenly spread ones."""
    chosen: list[str] = []
    for turn in zip_longest(*groups):
        offered = [video for video in turn if video is not None]
        left = min(count - len(chosen), len(offered))
        chosen += [offered[(2 * i + 1) * len(offered) // (2 * left)] for i in range(left)]
    return chosen
