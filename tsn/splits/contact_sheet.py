"""A contact sheet: one frame of one video of every class, with its name. BGR images (H, W, 3)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsn.drawing.text import write_text
from tsn.streams.video import VideoError, glance, quiet_decoding
from tsn.workers.pool import run_tasks
from tsn.workers.watchdog import watched

Image = npt.NDArray[np.uint8]

_CELL = (144, 108)  # width and height of a picture
_LINE = 16  # height of its name
_GAP = 4
_MOST_COLUMNS = 7


def contact_sheet(videos: Mapping[str, Path]) -> Image:
    """Return the sheet of {class name: video}. A video that cannot be read leaves its cell grey.

    The calling script needs the usual `if __name__ == "__main__":`, as a worker is spawned.
    """
    names = {path: name for name, path in videos.items()}
    seen = run_tasks(_middle_frame, list(names), ["cpu"], quiet_decoding)
    pictures = {names[path]: image for path, image in seen if isinstance(image, np.ndarray)}
    grey = np.full((_CELL[1], _CELL[0], 3), 200, dtype=np.uint8)
    return _grid([_named(pictures.get(name, grey), name) for name in videos])


def _middle_frame(path: Path, _: str) -> Image | None:
    try:
        return next(watched(_picture(path)))
    except VideoError:
        return None


def _picture(path: Path) -> Iterator[Image]:
    """The frame in the middle, fitted into a cell with its sides as they are."""
    frame = glance(path, 0.5)
    width, height = _CELL
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = [max(1, round(side * scale)) for side in (frame.shape[1], frame.shape[0])]
    small = cv2.resize(frame, (size[0], size[1]), interpolation=cv2.INTER_AREA)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    cell = np.full((height, width, 3), 255, dtype=np.uint8)
    cell[top : top + size[1], left : left + size[0]] = small
    yield cell


def _named(picture: Image, name: str) -> Image:
    label = np.full((_LINE, _CELL[0], 3), 255, dtype=np.uint8)
    write_text(label, name, (0, _LINE - 5), 0.38, (40, 30, 20))
    return np.vstack([label, picture])


def _grid(cells: list[Image]) -> Image:
    columns = min(_MOST_COLUMNS, max(1, round((1.5 * len(cells)) ** 0.5)))
    framed = [
        cv2.copyMakeBorder(c, _GAP, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for c in cells
    ]
    framed += [np.full_like(framed[0], 255)] * (-len(framed) % columns)
    rows = [np.hstack(framed[i : i + columns]) for i in range(0, len(framed), columns)]
    return np.asarray(np.vstack(rows), dtype=np.uint8)
