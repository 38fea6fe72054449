"""Groups guessed from the names that people give to clips."""

import re

import pytest

from tsn.splits.groups import guesses

UCF = [f"{c}/v_{c}_g{g:02}_c{n:02}.avi" for c in ("Run", "Jump") for g in (1, 2, 3) for n in (1, 2)]
PEOPLE = [f"{c}/{p}_{c}.avi" for c in ("run", "jump", "bend") for p in ("ira", "eli", "daria")]
PERSON_NUMBERS = [f"{c}/person{p:02}_{c}_d{n}.avi" for c in "ab" for p in (1, 2) for n in (1, 2)]
TAKES = [
    f"{c}/{p}_{c}_take{n}.mp4" for c in ("walk", "sit") for p in ("anna", "bo") for n in (1, 2)
]
KITCHENS = [f"{c}/kitchen {k} ({n}).mp4" for c in "ab" for k in ("old", "new") for n in (1, 2)]


@pytest.mark.parametrize(
    ("videos", "groups"),
    [
        (UCF, ("g01", "g02", "g03")),
        (PEOPLE, ("daria", "eli", "ira")),
        (PERSON_NUMBERS, ("person01", "person02")),
        (TAKES, ("anna", "bo")),
        (KITCHENS, ("kitchen new", "kitchen old")),
    ],
)
def test_names_that_say_who_or_where(videos: list[str], groups: tuple[str, ...]) -> None:
    guess = next(guesses(videos))
    assert guess.groups == groups
    assert guess.pattern is not None and re.compile(guess.pattern).groups == 1


@pytest.mark.parametrize(
    "videos",
    [
        [f"{c}/{c}_{n}.avi" for c in ("run", "jump") for n in range(4)],  # the class, and a number
        [f"{c}/IMG_{1000 + 7 * n}.mov" for c in "ab" for n in range(4)],  # a camera's numbers
        [f"a/{n}.avi" for n in "xyz"] + [f"b/{n}.avi" for n in "uvw"],
        ["a/ira_run.avi", "a/eli_run.avi", "b/clip.avi", "b/other.avi"],  # not all of them
    ],
)
def test_names_that_say_nothing(videos: list[str]) -> None:
    (guess,) = guesses(videos)
    assert guess.pattern is None and guess.groups == ()
    assert "every clip stands alone" in guess.why
