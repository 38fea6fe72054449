"""A snippet a second of a long video, some seconds at a time: its length takes no memory.

It is read once, from its beginning to its end, in a process of its own. Only the frames of a few
snippets are kept. Letters: n snippet, T frame, H, W.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tsn.recogniser.sparse_read import Need
from tsn.recogniser.video_readers import ask_reader, begin_reader, read_or_reason
from tsn.streams.contents import VideoError
from tsn.streams.limits import Limits
from tsn.streams.video import PYAV, Frame, FrameReader, resize_frame
from tsn.workers.pool import Helpers
from tsn.workers.watchdog import watched

SNIPPETS_AT_ONCE = 8

Item = TypeVar("Item")
Size = tuple[int, int]  # width, height


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some seconds of a video that lasts `seconds`: a snippet of each, by frame size.

    Snippets are (n, T, H, W, 3); all have the frames of the longest one that is needed.
    """

    snippets: Mapping[Size, npt.NDArray[np.uint8]]
    seconds: float

    def frames(self, need: Need) -> list[npt.NDArray[np.uint8]]:
        """Return the frames of each snippet (T, H, W, 3) as long as is needed, from its middle."""
        snippets = self.snippets[frame_size(need)]
        before = (snippets.shape[1] - need.least_frames) // 2
        return list(snippets[:, before : before + need.least_frames])


def frame_size(need: Need) -> Size:
    """Return the width and height of its frames."""
    return need.config.width, need.config.height


def read_seconds(path: Path, needs: Sequence[Need], limits: Limits) -> Iterator[Part]:
    """Yield the parts of a video file, in order.

    Raises as `VideoReaders.read` does, perhaps only after the first parts.
    """
    sizes = tuple(sorted({frame_size(need) for need in needs}))
    task = _Task(Path(path).absolute(), sizes, max(need.least_frames for need in needs))
    reader: Helpers[_Task, Part | str | None] = Helpers(
        _Reader(limits), partial(begin_reader, limits.gigabytes), most=1
    )
    while (part := ask_reader(reader, path, task)) is not None:
        yield part


@dataclass(frozen=True)
class _Task:
    path: Path
    sizes: tuple[Size, ...]
    span: int

    def __str__(self) -> str:
        return str(self.path)


class _Reader:
    """Answers with the next part each time that it is asked, in the process that reads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts: Iterator[Part] | None = None

    def __call__(self, task: _Task, _: None) -> Part | str | None:
        """Return the next part, None after the last, or why there is none."""
        parts = self._parts = self._parts or _parts(task, self._limits)
        return read_or_reason(lambda: next(parts, None))


def _parts(task: _Task, limits: Limits) -> Iterator[Part]:
    # Of the two decoders the one that need never be asked to count again.
    reader = FrameReader(task.path, limits, decoder=PYAV)
    frames = watched(iter(reader), limits.seconds_per_frame, limits.seconds)
    first = list(islice(frames, 1))
    rate = reader.frames_per_second
    if rate < 1:
        raise VideoError(task.path, f"{rate:g} frames a second, expected 1 or more")

    def resized(frame: Frame) -> tuple[Frame, ...]:
        return tuple(resize_frame(frame, *size) for size in task.sizes)

    snippets = snippet_a_second(map(resized, chain(first, frames)), rate, task.span)
    while some := list(islice(snippets, SNIPPETS_AT_ONCE)):
        columns = ([[frame[k] for frame in s] for s in some] for k in range(len(task.sizes)))
        by_size = dict(zip(task.sizes, map(np.array, columns), strict=True))
        yield Part(snippets=by_size, seconds=reader.num_promised / rate)
    if reader.num_frames < task.span:
        raise VideoError(task.path, f"{reader.num_frames} frames, a snippet takes {task.span}")


def snippet_a_second(frames: Iterable[Item], rate: float, span: int) -> Iterator[list[Item]]:
    """Yield `span` consecutive frames for every second of `rate` frames, from its middle.

    A last second counts from its half on. Where the video begins or ends too near, they are its
    first or last frames. A video of less than half a second has one snippet, one of fewer than
    `span` frames none.
    """
    kept: deque[Item] = deque(maxlen=span)
    second = count = 0
    for count, frame in enumerate(frames, 1):
        kept.append(frame)
        while count == max(_middle(second, rate) - span // 2, 0) + span:
            yield list(kept)
            second += 1
    while count >= span and (second == 0 or _middle(second, rate) < count):
        yield list(kept)
        second += 1


def _middle(second: int, rate: float) -> int:
    return int((second + 0.5) * rate)
