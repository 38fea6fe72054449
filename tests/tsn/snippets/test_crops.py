"""Crop geometry against coordinates worked out by hand for the paper's 340x256 frames."""

import numpy as np
import pytest

from tsn.snippets import crops as geometry
from tsn.snippets.crops import Box, crop_boxes, crop_sides, training_box

# 340 - 224 = 116 = 4 x 29 pixels are free across, 256 - 224 = 32 = 4 x 8 down.
CORNERS_AND_CENTRE = [(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)]
BETWEEN = [(0, 16), (116, 16), (58, 32), (58, 0), (29, 8), (87, 8), (29, 24), (87, 24)]


@pytest.mark.parametrize(
    ("num_positions", "expected"), [(5, CORNERS_AND_CENTRE), (13, CORNERS_AND_CENTRE + BETWEEN)]
)
def test_positions_in_a_paper_frame(num_positions: int, expected: list[tuple[int, int]]) -> None:
    boxes = crop_boxes(340, 256, 224, 224, num_positions)
    assert boxes == [Box(x, y, 224, 224) for x, y in expected]


def test_positions_of_a_crop_that_is_not_square() -> None:
    boxes = crop_boxes(340, 256, 256, 224, 5)  # free: 84 = 4 x 21 across, 32 = 4 x 8 down
    assert boxes == [Box(x, y, 256, 224) for x, y in [(0, 0), (84, 0), (0, 32), (84, 32), (42, 16)]]


def test_crop_of_the_whole_image_has_one_place() -> None:
    assert set(crop_boxes(64, 48, 64, 48, 13)) == {Box(0, 0, 64, 48)}


def test_sides_are_at_most_one_scale_apart() -> None:
    sides = crop_sides(256, (1.0, 0.875, 0.75, 0.66))
    equal = [(256, 256), (224, 224), (192, 192), (168, 168)]
    apart = [(256, 224), (224, 256), (224, 192), (192, 224), (192, 168), (168, 192)]
    assert sorted(sides) == sorted(equal + apart)
    assert len(crop_sides(256, (1.0, 0.875, 0.75))) == 7


def test_training_boxes_are_the_whole_table_and_lie_inside() -> None:
    generator = np.random.default_rng(1)
    scales = (1.0, 0.875, 0.75, 0.66)
    drawn = {training_box(340, 256, scales, 13, generator) for _ in range(6000)}
    assert drawn == {
        box
        for width, height in crop_sides(256, scales)
        for box in crop_boxes(340, 256, width, height, 13)
    }
    assert all(box.x >= 0 and box.x + box.width <= 340 for box in drawn)
    assert all(box.y >= 0 and box.y + box.height <= 256 for box in drawn)


@pytest.mark.parametrize(("width", "height"), [(340, 256), (256, 340), (97, 71), (64, 64)])
@pytest.mark.parametrize("scale", [1.0, 0.875, 0.75, 0.66, 0.3])
def test_every_training_box_lies_inside_its_image(width: int, height: int, scale: float) -> None:
    generator = np.random.default_rng(2)
    for _ in range(100):
        box = training_box(width, height, (1.0, scale), 13, generator)
        assert 0 <= box.x <= box.x + box.width <= width
        assert 0 <= box.y <= box.y + box.height <= height


def test_training_box_depends_on_its_generator_alone() -> None:
    def draw(seed: int) -> list[Box]:
        generator = np.random.default_rng(seed)
        return [training_box(340, 256, (1.0, 0.75), 13, generator) for _ in range(20)]

    assert draw(4) == draw(4)
    assert draw(4) != draw(5)


def test_ten_crops_are_corners_and_centre_then_their_mirrors() -> None:
    crops = geometry.testing_crops("ten_crop", 340, 256, 224)
    assert crops == [
        (Box(x, y, 224, 224), mirrored) for mirrored in (False, True) for x, y in CORNERS_AND_CENTRE
    ]


def test_ten_crops_of_a_mirrored_image_are_the_same_ten() -> None:
    crops = set(geometry.testing_crops("ten_crop", 340, 256, 224))
    mirrored = {(Box(340 - b.x - b.width, b.y, b.width, b.height), not m) for b, m in crops}
    assert mirrored == crops


def test_centre_crop() -> None:
    assert geometry.testing_crops("centre", 340, 256, 224) == [(Box(58, 16, 224, 224), False)]


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown testing crops 'five'; one of: ten_crop, centre"):
        geometry.testing_crops("five", 340, 256, 224)
    with pytest.raises(ValueError, match="crop_positions is 5 or 13, got 9"):
        crop_boxes(340, 256, 224, 224, 9)


@pytest.mark.parametrize("name", ["ten_crop", "centre"])
def test_crop_larger_than_its_image_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="224 pixels does not fit into 340x200"):
        geometry.testing_crops(name, 340, 200, 224)
    with pytest.raises(ValueError, match="100x50 crop does not fit into 99x99"):
        crop_boxes(99, 99, 100, 50, 5)
