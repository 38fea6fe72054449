"""The contact sheet of real videos, of odd shapes and broken ones."""

from pathlib import Path

import numpy as np
from videos import write_video

from tsn.splits.contact_sheet import contact_sheet


def test_every_class_has_a_picture_in_its_place(tmp_path: Path) -> None:
    colours = {"red": (0, 0, 200), "green": (0, 200, 0)}
    videos = {name: tmp_path / f"{name}.avi" for name in (*colours, "broken")}
    for name, colour in colours.items():
        shape = (48, 128) if name == "red" else (96, 64)
        write_video(videos[name], [np.full((*shape, 3), colour, np.uint8)] * 5, "MJPG")
    videos["broken"].write_bytes(b"broken")
    sheet = contact_sheet(videos)
    assert sheet.shape == (2 * (18 + 108 + 4), 2 * (4 + 144 + 4), 3)
    middles = [sheet[18 + y + 54, 4 + x + 72] for y in (0, 130) for x in (0, 152)]
    np.testing.assert_allclose(middles[0], colours["red"], atol=12)
    np.testing.assert_allclose(middles[1], colours["green"], atol=12)
    np.testing.assert_array_equal(middles[2:], [[200] * 3, [255] * 3])
    assert (sheet[:18, 4:60] < 128).any()  # a name over the first picture
