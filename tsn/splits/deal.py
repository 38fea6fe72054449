"""Groups dealt to folds, so that every class is in every fold: a split tests on its own fold."""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set

from tsn.lists import SplitError

MOST_TRIED = 10_000  # dead ends; to find a deal can be as hard as any problem
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
    dealt = _Deal(classes_of, groups_of, folds)
    waiting: list[Iterator[tuple[str, int]]] = []
    dead_ends = 0
    while dealt.lacking:
        waiting.append(dealt.next_steps())
        while (step := next(waiting[-1], None)) is None:
            waiting.pop()
            dead_ends += 1
            if not waiting or dead_ends == MOST_TRIED:
                return None
            dealt.undo()
        dealt.put(*step)
    return dealt.fold_of


class _Deal:
    """Some groups in folds. `lacking`: the classes that are not in every fold yet, each after the
    number of groups that it has to spare, sorted."""

    def __init__(
        self,
        classes_of: Mapping[str, Set[str]],
        groups_of: Mapping[str, Sequence[str]],
        folds: int,
    ) -> None:
        self.fold_of: _Folds = {}
        self._classes_of, self._groups_of = classes_of, groups_of
        self._counts = {name: [0] * folds for name in groups_of}  # of groups, by fold
        self.lacking = sorted((self._to_spare(name), name) for name in groups_of)

    def next_steps(self) -> Iterator[tuple[str, int]]:
        """Return the ways to put one more group of the first class in the first fold that lacks
        it, the best first."""
        to_spare, name = self.lacking[0]
        fold = self._counts[name].index(0)

        def gain(group: str) -> int:
            return sum(not self._counts[other][fold] for other in self._classes_of[group])

        free = [group for group in self._groups_of[name] if group not in self.fold_of]
        free.sort(key=lambda group: (-gain(group), len(self._classes_of[group]), group))
        return iter([(group, fold + 1) for group in free] if to_spare >= 0 else [])

    def put(self, group: str, fold: int) -> None:
        """Put a group in a fold."""
        self.fold_of[group] = fold
        self._count(group, fold, 1)

    def undo(self) -> None:
        """Take the last group out of its fold."""
        self._count(*self.fold_of.popitem(), -1)

    def _count(self, group: str, fold: int, by: int) -> None:
        for name in self._classes_of[group]:
            counts = self._counts[name]
            if 0 in counts:
                del self.lacking[bisect_left(self.lacking, (self._to_spare(name), name))]
            counts[fold - 1] += by
            if 0 in counts:
                insort(self.lacking, (self._to_spare(name), name))

    def _to_spare(self, name: str) -> int:
        counts = self._counts[name]
        return len(self._groups_of[name]) - sum(counts) - counts.count(0)


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
