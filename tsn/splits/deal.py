"""Groups dealt to folds, so that every class is in every fold: a split tests on its own fold."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set

from tsn.lists import SplitError

MOST_TRIED = 10_000  # deals; to find one can be as hard as any problem
_SHOWN = 5

_Folds = dict[str, int]  # of groups, counted from 1


def deal(classes_of: Mapping[str, Set[str]], folds: int) -> _Folds:
    """Return the fold of every group; `classes_of` are the classes that its clips are of.

    The sorted groups go to the folds in turn. Where that leaves a fold without a class, another
    deal is searched for, always the same one. SplitError names the classes that have too few
    groups, or the one that has the fewest if no deal is found.
    """
    groups = sorted(classes_of)
    groups_of: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        for name in classes_of[group]:
            groups_of[name].append(group)
    in_turn = {group: index % folds + 1 for index, group in enumerate(groups)}
    if len(_covered(in_turn, classes_of)) == folds * len(groups_of):
        return in_turn
    _refuse_few_groups(groups_of, folds)
    found = _search(classes_of, groups_of, folds)
    if found is None:
        name = min(groups_of, key=lambda name: (len(groups_of[name]), name))
        raise SplitError(
            f"no way was found to deal {len(groups)} groups to {folds} folds so that each has "
            f"every class; the fewest: {_described(name, groups_of)}. Change the groups, "
            "set fewer `splits`, or leave classes out (`classes`)"
        )
    return _with_the_rest(found, classes_of, folds)


def _covered(fold_of: _Folds, classes_of: Mapping[str, Set[str]]) -> set[tuple[str, int]]:
    """Return the classes and the folds that they are in."""
    return {(name, fold) for group, fold in fold_of.items() for name in classes_of[group]}


def _refuse_few_groups(groups_of: Mapping[str, Sequence[str]], folds: int) -> None:
    few = sorted(name for name, groups in groups_of.items() if len(groups) < folds)
    if few:
        more = f"; and {len(few) - _SHOWN} more classes" if len(few) > _SHOWN else ""
        raise SplitError(
            f"every class needs clips of {folds} groups, to be trained and tested in every split, "
            f"but {'; '.join(_described(name, groups_of) for name in few[:_SHOWN])}{more}. Add "
            "clips of others, change the groups, set fewer `splits`, or leave it out (`classes`)"
        )


def _described(name: str, groups_of: Mapping[str, Sequence[str]]) -> str:
    groups = groups_of[name]
    more = ", ..." if len(groups) > _SHOWN else ""
    return f"{name} has {len(groups)} ({', '.join(groups[:_SHOWN])}{more})"


def _search(
    classes_of: Mapping[str, Set[str]], groups_of: Mapping[str, Sequence[str]], folds: int
) -> _Folds | None:
    """Return a deal of some groups that has every class in every fold, None if none is found.

    The class with the fewest groups to spare is dealt first, and the group that gives a fold the
    most classes it lacks is tried first.
    """
    waiting: list[Iterator[_Folds]] = [iter([{}])]
    for _ in range(MOST_TRIED):
        while waiting and (fold_of := next(waiting[-1], None)) is None:
            waiting.pop()
        if not waiting or fold_of is None:
            return None
        covered = _covered(fold_of, classes_of)
        dealt = Counter(name for group in fold_of for name in classes_of[group])
        lacking = {
            name: [fold for fold in range(1, folds + 1) if (name, fold) not in covered]
            for name in groups_of
        }
        to_spare = {
            name: len(groups_of[name]) - dealt[name] - len(lacking[name])
            for name in groups_of
            if lacking[name]
        }
        if not to_spare:
            return fold_of
        name = min(to_spare, key=lambda name: (to_spare[name], name))
        if to_spare[name] >= 0:
            waiting.append(_next_deals(fold_of, name, lacking, classes_of, groups_of))
    return None


def _next_deals(
    fold_of: _Folds,
    name: str,
    lacking: Mapping[str, Sequence[int]],
    classes_of: Mapping[str, Set[str]],
    groups_of: Mapping[str, Sequence[str]],
) -> Iterator[_Folds]:
    """Yield the deals in which one more group of a class is in the first fold that lacks it."""
    fold = lacking[name][0]

    def gain(group: str) -> int:
        return sum(fold in lacking[other] for other in classes_of[group])

    free = [group for group in groups_of[name] if group not in fold_of]
    for group in sorted(free, key=lambda group: (-gain(group), len(classes_of[group]), group)):
        yield {**fold_of, group: fold}


def _with_the_rest(found: _Folds, classes_of: Mapping[str, Set[str]], folds: int) -> _Folds:
    """Return a deal with the other groups: each in the fold that has the fewest of its classes."""
    fold_of = dict(found)
    sizes = Counter(found.values())
    counts = Counter((name, fold) for group, fold in found.items() for name in classes_of[group])
    for group in sorted(classes_of.keys() - found):
        names = classes_of[group]
        fold_of[group] = fold = min(
            range(1, folds + 1), key=lambda f: (sum(counts[name, f] for name in names), sizes[f], f)
        )
        sizes[fold] += 1
        counts.update((name, fold) for name in names)
    return fold_of
