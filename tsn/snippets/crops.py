"""Crop geometry (paper section 3.2, "Data Augmentation", and section 3.3).

A box is (x, y, width, height) in pixels. Nothing here touches an image.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    x: int
    y: int
    width: int
    height: int


# Offsets in quarters of the free space (x, y). The first five are the text's corners and centre;
# the released networks were trained with all thirteen.
POSITIONS = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)),
)
NUM_POSITIONS = (5, len(POSITIONS))


def check_num_positions(number: int) -> None:
    """Raise ValueError unless training crops can be taken from so many positions."""
    if number not in NUM_POSITIONS:
        raise ValueError(f"crop_positions is {' or '.join(map(str, NUM_POSITIONS))}, got {number}")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Training crops (paper section 3.2): scales of the shorter side, 5 or 13 positions, mirror."""

    crop_scales: tuple[float, ...]
    crop_positions: int
    mirror: bool

    def __post_init__(self) -> None:
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise ValueError(f"crop_scales are fractions in (0, 1], got {self.crop_scales}")
        check_num_positions(self.crop_positions)


def crop_sides(base: int, scales: tuple[float, ...]) -> list[tuple[int, int]]:
    """Return all (width, height) pairs: each side is base x a scale, at most one scale apart."""
    sides = [int(base * scale) for scale in scales]
    return [
        (width, height)
        for i, width in enumerate(sides)
        for j, height in enumerate(sides)
        if abs(i - j) <= 1
    ]


def crop_boxes(
    width: int, height: int, crop_width: int, crop_height: int, num_positions: int
) -> list[Box]:
    """Return the first `num_positions` (5 or 13) placements of a crop in a width x height image."""
    check_num_positions(num_positions)
    if crop_width > width or crop_height > height:
        raise ValueError(f"a {crop_width}x{crop_height} crop does not fit into {width}x{height}")
    step_x, step_y = (width - crop_width) // 4, (height - crop_height) // 4
    return [
        Box(x * step_x, y * step_y, crop_width, crop_height) for x, y in POSITIONS[:num_positions]
    ]


def training_box(
    width: int,
    height: int,
    scales: tuple[float, ...],
    num_positions: int,
    generator: np.random.Generator,
) -> Box:
    """Draw a scale-jittered corner crop: size and position uniformly from the choices."""
    pairs = crop_sides(min(width, height), scales)
    crop_width, crop_height = pairs[generator.integers(len(pairs))]
    boxes = crop_boxes(width, height, crop_width, crop_height, num_positions)
    return boxes[generator.integers(len(boxes))]


def _corners_and_centre(width: int, height: int, size: int) -> list[tuple[Box, bool]]:
    boxes = crop_boxes(width, height, size, size, NUM_POSITIONS[0])
    return [(box, mirrored) for mirrored in (False, True) for box in boxes]


def _centre(width: int, height: int, size: int) -> list[tuple[Box, bool]]:
    return [(Box((width - size) // 2, (height - size) // 2, size, size), False)]


# What a test snippet is cut into: (box, mirrored), in this order.
TESTING_CROPS = {"ten_crop": _corners_and_centre, "centre": _centre}


def testing_crops(name: str, width: int, height: int, size: int) -> list[tuple[Box, bool]]:
    """Return the crops of a test snippet; ten_crop is 4 corners and centre, then their mirrors."""
    if name not in TESTING_CROPS:
        raise ValueError(f"unknown testing crops {name!r}; one of: {', '.join(TESTING_CROPS)}")
    if size > min(width, height):
        raise ValueError(f"a crop of {size} pixels does not fit into {width}x{height}")
    return TESTING_CROPS[name](width, height, size)
