"""Text in pictures: what the font has no letter for."""

import numpy as np

from tsn.drawing.text import to_ascii, write_text


def test_accents_are_left_out_and_the_rest_is_a_question() -> None:
    assert to_ascii("März & Co., l'été (50%)") == "Marz & Co., l'ete (50%)"
    assert to_ascii("剣道") == "??"


def test_text_is_written_from_its_place_on() -> None:
    image = np.full((20, 60, 3), 255, np.uint8)
    write_text(image, "ab", (30, 15), 0.4, (0, 0, 0))
    assert image[:, 30:].min() < 100 and image[:, :28].min() == 255
