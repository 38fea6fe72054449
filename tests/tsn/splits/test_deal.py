"""Deals of groups to folds: today's where it will do, and one that has every class otherwise."""

import random
from collections.abc import Mapping, Set
from itertools import product

import pytest

from tsn.lists import SplitError
from tsn.splits import deal as module
from tsn.splits.deal import MOST_TRIED, deal


def is_whole(fold_of: Mapping[str, int], classes_of: Mapping[str, Set[str]], folds: int) -> bool:
    classes = set().union(*classes_of.values())
    covered = {(name, fold) for group, fold in fold_of.items() for name in classes_of[group]}
    return covered == set(product(classes, range(1, folds + 1)))


def test_groups_in_turn_stay_where_that_has_every_class() -> None:
    classes_of = {f"person{n}": {"run", "jump"} for n in range(7)}
    assert deal(classes_of, 3) == {f"person{n}": n % 3 + 1 for n in range(7)}


@pytest.mark.parametrize(("classes", "folds", "clips"), [(3, 3, 9), (2, 2, 40), (6, 3, 100)])
def test_clips_whose_classes_take_turns_are_dealt(classes: int, folds: int, clips: int) -> None:
    """In turn, each fold would have the same classes each time."""
    classes_of = {f"IMG_{n:03}": {f"c{n % classes}"} for n in range(clips)}
    found = deal(classes_of, folds)
    assert found.keys() == classes_of.keys()
    assert is_whole(found, classes_of, folds)
    sizes = [list(found.values()).count(fold) for fold in range(1, folds + 1)]
    assert max(sizes) - min(sizes) <= classes
    assert deal(dict(reversed(classes_of.items())), folds) == found


def test_a_deal_is_found_exactly_where_there_is_one() -> None:
    """By trying every deal."""
    chance, possible = random.Random(20161008), 0
    for _ in range(300):
        count, folds = chance.randint(3, 7), chance.choice([2, 3])
        classes_of = {
            f"g{n}": {f"c{name}" for name in chance.sample(range(4), chance.randint(1, 3))}
            for n in range(count)
        }
        every = product(range(1, folds + 1), repeat=count)
        exists = any(
            is_whole(dict(zip(classes_of, one, strict=True)), classes_of, folds) for one in every
        )
        possible += exists
        if exists:
            assert is_whole(deal(classes_of, folds), classes_of, folds)
        else:
            with pytest.raises(SplitError):
                deal(classes_of, folds)
    assert 50 < possible < 250


def test_a_class_of_too_few_groups_is_named_with_them() -> None:
    classes_of = {"ann": {"run", "jump"}, "bob": {"run"}, "eva": {"run"}}
    reason = r"every class needs clips of 3 groups.*, but jump has 1 \(ann\)\. Add clips"
    with pytest.raises(SplitError, match=reason):
        deal(classes_of, 3)


def test_groups_that_cannot_be_dealt_are_told() -> None:
    """The Fano plane: two folds of its points, and one has a whole line."""
    lines = ("012", "034", "056", "135", "146", "236", "245")
    classes_of = {point: {line for line in lines if point in line} for point in "0123456"}
    with pytest.raises(SplitError, match=r"no way was found.*012 has 3 \(0, 1, 2\)"):
        deal(classes_of, 2)


def test_many_steps_that_all_go_well_are_no_search() -> None:
    """More steps than dead ends are allowed, and each as quick as its group is small."""
    classes = MOST_TRIED // 3 // 3 * 3 + 3
    classes_of = {f"IMG_{n:05}": {f"c{n % classes}"} for n in range(3 * classes)}
    assert len(classes_of) > MOST_TRIED
    assert is_whole(deal(classes_of, 3), classes_of, 3)


def test_a_search_ends_after_so_many_dead_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    classes_of = {"g0": {"c0"}, "g1": {"c1"}, "g2": {"c0"}, "g3": {"c1"}}
    monkeypatch.setattr(module, "MOST_TRIED", 1)
    assert is_whole(deal(classes_of, 2), classes_of, 2)  # without any
    lines = ("012", "034", "056", "135", "146", "236", "245")
    fano = {point: {line for line in lines if point in line} for point in "0123456"}
    undone, undo = [], module._Deal.undo

    def count(dealt: module._Deal) -> None:
        undone.append(len(dealt.fold_of))
        undo(dealt)

    monkeypatch.setattr(module, "MOST_TRIED", 3)
    monkeypatch.setattr(module._Deal, "undo", count)
    with pytest.raises(SplitError, match="no way was found"):
        deal(fano, 2)
    assert len(undone) == 2
