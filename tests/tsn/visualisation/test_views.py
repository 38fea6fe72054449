"""Pictures of what networks look for, by hand."""

import numpy as np
import pytest
import torch

from tsn.modality import modality
from tsn.visualisation.views import views


def test_a_frame_is_shown_as_it_is() -> None:
    picture = torch.tensor([10.4, 20.0, 300.0])[:, None, None].expand(3, 2, 4)
    (image,) = views(picture, modality("rgb")).values()
    assert image.shape == (2, 4, 3)
    assert image[0, 0].tolist() == [10, 20, 255]


def test_the_strongest_motion_has_full_strength_and_nothing_is_grey() -> None:
    picture = torch.full((2, 10, 10), 128.0)
    picture[0, :, :5] = 138.0  # to the right, ten values a pixel
    shown = views(picture, modality("flow"))
    assert list(shown) == ["x", "y", "in colours"]
    assert shown["x"][0, 0].tolist() == [255] * 3 and shown["x"][0, 9].tolist() == [128] * 3
    assert (shown["y"] == 128).all()
    blue, _, red = shown["in colours"][0, 0].astype(int)
    assert red == 255 and blue < 25  # right is red
    assert (shown["in colours"][0, 9] == 255).all()


def test_what_is_stronger_than_most_is_shown_in_full_strength_too() -> None:
    """Flow colours darken what is beyond their bound, which would read as a shape."""
    generator = torch.Generator().manual_seed(1)
    picture = 128 + 20 * torch.randn((2, 300, 300), generator=generator)
    colours = views(picture, modality("flow"))["in colours"]
    assert (colours.max(axis=2) == 255).all()
    still = torch.full((2, 10, 10), 128.0)
    still[0, :5], still[0, 0, 0] = 138.0, 168.0  # to the right, in one place four times as far
    shown = views(still, modality("flow"))["in colours"]
    assert np.abs(shown[0, 0].astype(int) - shown[1, 1]).max() <= 1


@pytest.mark.parametrize("name", ["rgb_diff", "flow"])
def test_what_is_next_to_nothing_is_not_made_to_look_strong(name: str) -> None:
    row = modality(name)
    picture = 128 + 0.5 * torch.rand(row.entry_channels, 8, 8)
    first = next(iter(views(picture, row).values()))
    assert abs(first.astype(int) - 128).max() <= 16
