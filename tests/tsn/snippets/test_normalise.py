"""Network inputs by hand."""

import pytest
import torch

from tsn.modality import MODALITIES, modality
from tsn.snippets.normalise import normalise


def test_rgb_is_float_minus_the_mean() -> None:
    pixels = torch.tensor([100, 117, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    assert normalise(pixels, modality("rgb")).flatten().tolist() == [-4.0, 0.0, 132.0]


def test_flow_is_float_minus_128() -> None:
    values = torch.tensor([128, 0, 255, 128, 1, 2, 3, 4, 5, 6], dtype=torch.uint8)
    result = normalise(values.view(10, 1, 1), modality("flow")).flatten().tolist()
    assert result == [0, -128, 127, 0, -127, -126, -125, -124, -123, -122]


def test_rgb_difference_by_hand() -> None:
    """6 frames of (b, g, r) give 5 differences of later minus earlier; nothing wraps at 0."""
    frames = [(10, 20, 30), (0, 20, 35), (255, 20, 0), (0, 20, 0), (1, 22, 0), (3, 20, 0)]
    values = torch.tensor(frames, dtype=torch.uint8).view(1, 1, 18, 1, 1)
    result = normalise(values, modality("rgb_diff"))
    assert result.shape == (1, 1, 15, 1, 1)
    assert result.view(5, 3).tolist() == [
        [-10, 0, 5],
        [255, 0, -35],
        [-255, 0, 0],
        [1, 2, 0],
        [2, -2, 0],
    ]


@pytest.mark.parametrize("name", MODALITIES)
def test_normalise_treats_every_snippet_alike(name: str) -> None:
    row = modality(name)
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(
        0,
        256,
        (2, 3, row.snippet_length * row.entry_channels, 4, 4),
        generator=generator,
        dtype=torch.uint8,
    )
    alone = torch.stack([torch.stack([normalise(x, row) for x in video]) for video in batch])
    assert torch.equal(normalise(batch, row), alone)
    assert alone.shape[2] == row.channels
