"""Pictures in frames and files, and the difference of two.

Layout: images (H, W, 3) uint8 BGR.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsn.files import atomic_path

Image = npt.NDArray[np.uint8]

GAP = 4  # pixels of white around a picture


def framed(image: Image, scale: int, top: int = GAP) -> Image:
    """Return the image `scale` times as large, in a white frame, `top` pixels high above it."""
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    white = (255, 255, 255)
    frame = cv2.copyMakeBorder(enlarged, top, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=white)
    return np.asarray(frame, dtype=np.uint8)


def difference(first: Image, second: Image) -> Image:
    """Return `second` less `first` around mid-grey, clipped."""
    shown = 128 + second.astype(np.int16) - first
    return np.asarray(np.clip(shown, 0, 255), dtype=np.uint8)


def write_image(path: Path, image: Image) -> None:
    """Write a picture, complete or absent, in the format that the file's name ends with, or PNG."""
    try:
        data = cv2.imencode(path.suffix or ".png", image)[1]
    except cv2.error as error:
        raise ValueError(f"{path}: expected the name of a picture: .png or .jpg") from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
