"""Names: which can be taken, how they are shown, and which a reader takes for the same."""

import unicodedata

import pytest

from tsn.names import LONGEST, name_problem, near_equal, normal, same_name, shown


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("#1 (a) [x];&'é 剣道 👨‍👩‍👧.avi", ""),
        ("caf\udce9.avi", "not UTF-8"),
        ("a\nb.avi", "control character"),
        ("a\u2028b.avi", "control character"),
        ("a\x7f.avi", "control character"),
        ("é" * 125 + "a", ""),
        ("é" * 126, f"252 bytes, at most {LONGEST}"),
    ],
)
def test_names_that_cannot_be_taken(name: str, problem: str) -> None:
    assert problem in name_problem(name)
    assert bool(problem) == bool(name_problem(name))


def test_any_name_can_be_printed_and_told_from_others() -> None:
    assert shown("März & Co/1.avi") == "März & Co/1.avi"
    names = ("caf\udce9", "a\nb", "a\u200bb", "ab")
    assert [shown(name) for name in names] == [r"caf\xe9", r"a\nb", r"a\u200bb", "ab"]


def test_one_name_in_two_encodings_is_one() -> None:
    composed, apart = "gehört", unicodedata.normalize("NFD", "gehört")
    assert composed != apart and normal(apart) == composed
    assert same_name(apart, ["x", composed]) == composed
    assert same_name(apart, [composed, apart]) == apart
    assert same_name("Gehört", [composed]) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Walk", "walk"),
        ("brush hair", "brushhair"),
        ("walk", "walk "),
        ("walk", "wa\u200blk"),
        ("walk", "walk\ufe0f"),
        ("gehört", unicodedata.normalize("NFD", "gehört")),
        ("Straße", "STRASSE"),
        ("ﬁt", "fit"),
    ],
)
def test_names_that_a_reader_takes_for_one_are_told(one: str, other: str) -> None:
    (line,) = near_equal("classes", ["run", one, other, "7", "007", "jump", "jump2", "gehort"])
    first, second = line.removeprefix("classes ").split(" differ only")[0].split(" and ")
    assert first != second and "\u200b" not in line
    assert {eval(first), eval(second)} == {one, other}
