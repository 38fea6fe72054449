"""Which videos a speed is measured on, and how it is told."""

import pytest

from stages.operate.speed import NUM_VIDEOS, some_of
from stages.reporting.study_speed import shown_speed


@pytest.mark.parametrize(
    ("count", "chosen"),
    [
        (3, [0, 1, 2]),
        (6, [0, 1, 2, 3, 4, 5]),
        (11, [0, 1, 3, 5, 7, 9]),
        (61, [0, 10, 20, 30, 40, 50]),
    ],
)
def test_a_few_videos_from_all_over_the_list(count: int, chosen: list[int]) -> None:
    videos = [f"walk/{number}.avi" for number in range(count)]
    assert some_of(videos) == [videos[number] for number in chosen]
    assert len(some_of(videos)) <= NUM_VIDEOS


@pytest.mark.parametrize(
    ("value", "text"), [(340.4, "340"), (14.0, "14"), (4.64, "4.6"), (0.0312, "0.031"), (None, "–")]
)
def test_a_speed_has_the_digits_that_it_is_known_to(value: float | None, text: str) -> None:
    assert shown_speed(value) == text
