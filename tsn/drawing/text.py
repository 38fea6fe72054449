"""Text in pictures, in the letters that OpenCV's font has."""

import unicodedata

import cv2

from tsn.drawing.image import GAP, Image, framed

_LINE = 18  # height of a title


def titled(image: Image, title: str, scale: int = 1) -> Image:
    """Return the image `scale` times as large, in a white frame, below its title."""
    frame = framed(image, scale, top=_LINE)
    write_text(frame, title, (GAP, _LINE - 5), 0.4, (0, 0, 0))
    return frame


def write_text(
    image: Image, text: str, place: tuple[int, int], scale: float, colour: tuple[int, int, int]
) -> None:
    """Write into a BGR image; `place` (x, y) is where the line begins, at its foot."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, to_ascii(text), place, font, scale, colour, 1, cv2.LINE_AA)


def to_ascii(text: str) -> str:
    """Return the text with letters bare of their accents, and "?" for what is left beyond ASCII."""
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return bare.encode("ascii", "replace").decode("ascii")
