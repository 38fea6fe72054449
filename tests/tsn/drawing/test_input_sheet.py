"""What the sheet of network inputs shows, pixel by pixel."""

import numpy as np
import pytest
import torch

from tsn.drawing.image import GAP
from tsn.drawing.input_sheet import input_sheet
from tsn.modality import MODALITIES, modality


def one_pixel(name: str, values: list[int]) -> np.ndarray:
    """The sheet of a single snippet of 1 x 1 pixels, without its white frame."""
    row = modality(name)
    planes = np.zeros(row.snippet_length * row.entry_channels, np.uint8)
    planes[: len(values)] = values
    sheet = input_sheet(torch.from_numpy(planes).view(1, 1, -1, 1, 1), row, 1)
    return sheet[GAP:-GAP, GAP:-GAP]


def test_frame_is_shown_as_it_is() -> None:
    assert one_pixel("rgb", [10, 20, 30]).tolist() == [[[10, 20, 30]]]


def test_difference_is_shown_around_grey() -> None:
    shown = one_pixel("rgb_diff", [10, 200, 0, 15, 190, 250])
    assert shown.tolist() == [[[133, 118, 255]]]  # 128 + 5, 128 - 10, 128 + 250 clipped


@pytest.mark.parametrize("name", ["flow", "warped_flow"])
def test_flow_is_shown_as_x_beside_y(name: str) -> None:
    assert one_pixel(name, [128, 7]).tolist() == [[[128] * 3, [7] * 3]]


@pytest.mark.parametrize("name", MODALITIES)
def test_sheet_has_a_row_per_video_and_a_column_per_segment(name: str) -> None:
    row = modality(name)
    values = torch.arange(6, dtype=torch.uint8).view(2, 3, 1, 1, 1) * 40
    snippets = values.expand(2, 3, row.snippet_length * row.entry_channels, 8, 8)
    sheet = input_sheet(snippets, row, 2)
    height, width = 16 + 2 * GAP, 16 * (2 if row.entry_channels == 2 else 1) + 2 * GAP
    assert sheet.shape == (2 * height, 3 * width, 3)
    for video in range(2):
        for segment in range(3):
            tile = sheet[video * height :, segment * width :][:height, :width]
            inside = tile[GAP:-GAP, GAP:-GAP]
            expected = 128 if row.difference else (3 * video + segment) * 40
            assert (inside == expected).all()
            assert (tile[:GAP] == 255).all()
