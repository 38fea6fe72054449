"""Network inputs by hand."""

import pytest
import torch

from tsn.modality import MODALITIES, modality
from tsn.model.backbone import InputValues
from tsn.model.backbones import BACKBONES
from tsn.snippets.normalise import normalise

CAFFE = BACKBONES["bn_inception"].inputs
OTHER = InputValues(colours="rgb", mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))


def test_bn_inception_takes_what_its_public_weights_take() -> None:
    """Caffe's, but for networks that tsn-pytorch trained, which saw another mean of red."""
    names = ("bn_inception", "bn_inception_half", "bn_inception_quarter", "bn_inception_pytorch")
    for name, red in zip(names, (123.0, 123.0, 123.0, 128.0), strict=True):
        expected = InputValues(colours="bgr", mean=(104.0, 117.0, red), std=None)
        assert BACKBONES[name].inputs == expected
    with pytest.raises(ValueError, match="colours are bgr or rgb, got 'hsv'"):
        InputValues(colours="hsv", mean=(0.0, 0.0, 0.0), std=None)


def test_colours_in_another_order_are_turned_around_and_divided() -> None:
    """A pixel of blue 100, green 117, red 255; two frames of one differ by (8, 4, 2)."""
    pixel = torch.tensor([100, 117, 255], dtype=torch.uint8).view(3, 1, 1)
    result = normalise(pixel, modality("rgb"), OTHER)
    assert result.flatten().tolist() == [(255 - 10) / 2, (117 - 20) / 4, (100 - 30) / 8]
    frames = torch.tensor([0, 0, 0] + 5 * [8, 4, 2], dtype=torch.uint8).view(18, 1, 1)
    result = normalise(frames, modality("rgb_diff"), OTHER)
    assert result.flatten().tolist() == [2 / 2, 4 / 4, 8 / 8] + 12 * [0.0]


def test_flow_has_no_colours_and_is_divided_by_the_mean_deviation() -> None:
    values = torch.tensor([128, 0, 255, 128, 1, 2, 3, 4, 5, 6], dtype=torch.uint8)
    result = normalise(values.view(10, 1, 1), modality("flow"), OTHER).flatten()
    torch.testing.assert_close(result, (values.float() - 128) / (14 / 3))


def test_rgb_is_float_minus_the_mean() -> None:
    pixels = torch.tensor([100, 117, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    assert normalise(pixels, modality("rgb"), CAFFE).flatten().tolist() == [-4.0, 0.0, 132.0]


def test_flow_is_float_minus_128() -> None:
    values = torch.tensor([128, 0, 255, 128, 1, 2, 3, 4, 5, 6], dtype=torch.uint8)
    result = normalise(values.view(10, 1, 1), modality("flow"), CAFFE).flatten().tolist()
    assert result == [0, -128, 127, 0, -127, -126, -125, -124, -123, -122]


def test_rgb_difference_by_hand() -> None:
    """6 frames of (b, g, r) give 5 differences of later minus earlier; nothing wraps at 0."""
    frames = [(10, 20, 30), (0, 20, 35), (255, 20, 0), (0, 20, 0), (1, 22, 0), (3, 20, 0)]
    values = torch.tensor(frames, dtype=torch.uint8).view(1, 1, 18, 1, 1)
    result = normalise(values, modality("rgb_diff"), CAFFE)
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
    alone = torch.stack([torch.stack([normalise(x, row, CAFFE) for x in video]) for video in batch])
    assert torch.equal(normalise(batch, row, CAFFE), alone)
    assert alone.shape[2] == row.channels
