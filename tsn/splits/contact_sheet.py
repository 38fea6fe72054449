"""A contact sheet: one frame of one video of every class, with its name. BGR images (H, W, 3)."""

from collections.abc import Container, Iterator, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from tsn.drawing.image import Image
from tsn.drawing.text import titled
from tsn.lists import SplitLists
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.video import glance, initialise_worker
from tsn.workers.pool import run_tasks
from tsn.workers.watchdog import watched

_SIZE = (144, 108)  # width and height of a picture
_MOST_COLUMNS = 7


def class_examples(lists: SplitLists, unreadable: Container[str]) -> dict[str, str]:
    """Return the first training video of every class, by the class names in order."""
    shown: dict[str, str] = {}
    for row in lists.train[min(lists.train)]:
        if row.video not in unreadable:
            shown.setdefault(lists.classes[row.label], row.video)
    return dict(sorted(shown.items()))


def contact_sheet(videos: Mapping[str, Path], limits: Limits = DEFAULT_LIMITS) -> Image:
    """Return the sheet of {class name: video}. One that cannot be read leaves its place grey."""
    names = {path: name for name, path in videos.items()}
    look = partial(_middle_frame, limits=limits)
    begin = partial(initialise_worker, limits.gigabytes)
    seen = run_tasks(look, list(names), ["cpu"], begin)
    pictures = {names[path]: image for path, image in seen if isinstance(image, np.ndarray)}
    grey = np.full((_SIZE[1], _SIZE[0], 3), 200, dtype=np.uint8)
    return _grid([titled(pictures.get(name, grey), name) for name in videos])


def _middle_frame(path: Path, _: str, limits: Limits) -> Image | None:
    try:
        return next(watched(_picture(path, limits), limits.seconds))
    except OSError:
        raise
    except Exception:  # a VideoError, or what nobody thought of
        return None


def _picture(path: Path, limits: Limits) -> Iterator[Image]:
    """Yield the frame in the middle, fitted into a picture of the sheet, its sides as they are."""
    frame = glance(path, 0.5, limits)
    width, height = _SIZE
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = [max(1, round(side * scale)) for side in (frame.shape[1], frame.shape[0])]
    small = cv2.resize(frame, (size[0], size[1]), interpolation=cv2.INTER_AREA)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    picture[top : top + size[1], left : left + size[0]] = small
    yield picture


def _grid(pictures: list[Image]) -> Image:
    columns = min(_MOST_COLUMNS, max(1, round((1.5 * len(pictures)) ** 0.5)))
    pictures += [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return np.vstack(rows)
