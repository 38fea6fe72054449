"""Hand-worked starts of the paper's sampling, and the bounds a random start keeps."""

from collections.abc import Callable

import numpy as np
import pytest

from tsn.snippets import sampling

DRAWS = 2000


@pytest.mark.parametrize(
    ("entries", "num_segments", "length", "first", "last"),
    [
        (30, 3, 5, [0, 10, 20], [5, 15, 25]),  # segments of 10, offsets 0..5
        (32, 3, 5, [0, 10, 20], [5, 15, 25]),  # floor(32 / 3): the last two entries are left over
        (23, 3, 5, [0, 7, 14], [2, 9, 16]),
        (24, 3, 6, [0, 8, 16], [2, 10, 18]),
        (9, 3, 1, [0, 3, 6], [2, 5, 8]),
        (15, 3, 5, [0, 5, 10], [0, 5, 10]),  # a segment of exactly one snippet
        (7, 1, 5, [0], [2]),
        (14, 3, 5, [0, 0, 0], [0, 0, 0]),  # segments of 4 are shorter than a snippet of 5
        (5, 3, 5, [0, 0, 0], [0, 0, 0]),
        (2, 3, 1, [0, 0, 0], [0, 0, 0]),
    ],
)
def test_training_starts_fill_their_segments_exactly(
    entries: int, num_segments: int, length: int, first: list[int], last: list[int]
) -> None:
    generator = np.random.default_rng(1)
    draws = np.array(
        [sampling.training_starts(entries, num_segments, length, generator) for _ in range(DRAWS)]
    )
    assert draws.min(axis=0).tolist() == first
    assert draws.max(axis=0).tolist() == last


def test_training_starts_are_uniform_and_independent_between_segments() -> None:
    generator = np.random.default_rng(2)
    draws = np.array([sampling.training_starts(30, 3, 5, generator) for _ in range(6000)])
    offsets = draws - [0, 10, 20]
    counts = np.array([np.bincount(column, minlength=6) for column in offsets.T])
    deviation = np.sqrt(6000 * (1 / 6) * (5 / 6))
    assert np.abs(counts - 1000).max() < 4.5 * deviation
    assert np.abs(np.corrcoef(offsets.T) - np.eye(3)).max() < 0.06


def test_training_starts_depend_on_their_generator_alone() -> None:
    draws = [sampling.training_starts(300, 3, 5, np.random.default_rng(seed)) for seed in (7, 7, 8)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("entries", "num_snippets", "length", "expected"),
    [
        (100, 25, 1, list(range(0, 97, 4))),  # floor(99 / 24) = 4
        (99, 25, 5, list(range(0, 73, 3))),  # floor(94 / 24) = 3
        (29, 25, 5, list(range(25))),  # floor(24 / 24) = 1
        (28, 25, 5, [0] * 25),  # floor(23 / 24) = 0
        (24, 10, 6, list(range(0, 19, 2))),
        (5, 3, 5, [0, 0, 0]),
        (10, 1, 1, [0]),
    ],
)
def test_testing_starts_by_hand(
    entries: int, num_snippets: int, length: int, expected: list[int]
) -> None:
    assert sampling.testing_starts(entries, num_snippets, length).tolist() == expected


def test_every_snippet_fits_into_its_stream() -> None:
    generator = np.random.default_rng(3)
    for length in (1, 5, 6):
        for entries in range(length, 90):
            starts = [
                sampling.testing_starts(entries, 25, length),
                sampling.training_starts(entries, 3, length, generator),
            ]
            assert all(start.min() >= 0 and start.max() + length <= entries for start in starts)


@pytest.mark.parametrize(
    "starts",
    [
        lambda: sampling.training_starts(4, 3, 5, np.random.default_rng(0)),
        lambda: sampling.testing_starts(4, 25, 5),
    ],
)
def test_stream_shorter_than_a_snippet_is_refused(starts: Callable[[], sampling.Starts]) -> None:
    with pytest.raises(ValueError, match="takes 5 consecutive entries, the stream has 4"):
        starts()
