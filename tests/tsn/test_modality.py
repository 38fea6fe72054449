"""The table of modalities, against the numbers of the paper."""

import pytest

from tsn.modality import MODALITIES, modality


@pytest.mark.parametrize(
    ("name", "stream", "read", "channels"),
    [
        ("rgb", "frames", 1, 3),
        ("rgb_diff", "frames", 6, 15),  # 5 differences of 6 consecutive frames
        ("flow", "flow", 5, 10),  # 5 pairs of x and y
        ("warped_flow", "warped_flow", 5, 10),
    ],
)
def test_snippets_of_each_modality(name: str, stream: str, read: int, channels: int) -> None:
    row = modality(name)
    assert (row.name, row.stream, row.snippet_length) == (name, stream, read)
    assert row.channels == channels


def test_what_stands_for_nothing_becomes_zero() -> None:
    centres = {name: row.centre for name, row in MODALITIES.items()}
    assert centres == {"rgb": None, "rgb_diff": 0.0, "flow": 128.0, "warped_flow": 128.0}


def test_only_the_x_of_flow_turns_around_in_a_mirror() -> None:
    inverted = {name: row.inverted_when_mirrored for name, row in MODALITIES.items()}
    assert inverted == {"rgb": (), "rgb_diff": (), "flow": (0,), "warped_flow": (0,)}


def test_unknown_modality_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'depth'; one of: rgb, rgb_diff, flow, warped_flow"):
        modality("depth")
