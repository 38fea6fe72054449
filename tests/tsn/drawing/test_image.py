"""Pictures in frames and files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tsn.drawing.image import GAP, difference, framed, write_image

IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


def test_frame_is_white_around_the_enlarged_image() -> None:
    shown = framed(IMAGE, 3, top=7)
    assert shown.shape == (7 + 6 + GAP, GAP + 12 + GAP, 3)
    np.testing.assert_array_equal(shown[7:-GAP:3, GAP:-GAP:3], IMAGE)
    assert (shown[:7] == 255).all() and (shown[:, :GAP] == 255).all()


def test_difference_is_around_grey_and_clipped() -> None:
    one, other = (np.full((1, 1, 3), level, np.uint8) for level in ([0, 10, 255], [255, 8, 0]))
    assert difference(one, other).tolist() == [[[255, 126, 0]]]


@pytest.mark.parametrize("name", ["a/b.png", "without"])
def test_picture_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name, IMAGE)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / name)), IMAGE)


def test_a_name_of_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"b\.txt: expected the name of a picture"):
        write_image(tmp_path / "b.txt", IMAGE)
    assert list(tmp_path.iterdir()) == []
