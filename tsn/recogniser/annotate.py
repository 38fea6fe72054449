"""A video with what a recogniser makes of it: the class, how the classes stand, and the flow.

Layout: frames (H, W, 3) uint8 BGR. Letters: S moment, C class.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from tsn.drawing.flow_colours import flow_colours
from tsn.drawing.image import Image
from tsn.drawing.modality_sheet import full_strength
from tsn.drawing.text import to_ascii
from tsn.files import atomic_path
from tsn.recogniser.sight import Sight
from tsn.streams.contents import VideoError
from tsn.streams.encode import write_h264
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.video import Frame, FrameReader

LEAST_HEIGHT = 360  # smaller videos are enlarged, or their letters could not be read
MOST_WIDTH = 4096  # to which they are: encoders take little more
BARS = 3
UNKNOWN_RATE = 25
COLOURS = ((255, 164, 127), (92, 154, 255), (168, 209, 79))  # BGR: blue, orange, green
WHITE, SHADE = (255, 255, 255), 0.35  # what is left of a frame behind letters
Progress = Callable[[Iterable[Frame], int], Iterable[Frame]]


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is drawn on a video's frames.

    title: what the whole video shows. names: the best classes, shares: of each, at every moment
    (S, n), moments: where these are (S,), from 0 to 1. flows: pictures of every moment's flow.
    """

    title: str
    names: tuple[str, ...]
    shares: npt.NDArray[np.float64]
    moments: npt.NDArray[np.float64]
    flows: tuple[Image, ...]


def make_overlay(
    sight: Sight, classes: Sequence[str], shares: npt.NDArray[np.float64], title: str
) -> Overlay:
    """Return what is drawn of a sight. shares: those of every class at each moment (S, C)."""
    best = np.argsort(-sight.scores, kind="stable")[:BARS]
    return Overlay(
        title=title,
        names=tuple(classes[label] for label in best),
        shares=shares[:, best],
        moments=np.array(sight.at),
        flows=tuple(flow_colours(flow, full_strength(sight.bound)) for flow in sight.flows),
    )


def write_annotated(
    video: Path, overlay: Overlay, out: Path, progress: Progress, limits: Limits = DEFAULT_LIMITS
) -> None:
    """Write a video with the overlay on it, as H.264 in MP4, without sound; complete or absent.

    progress: is given the frames and their likely number, and gives them back. Raises as
    `FrameReader` does, and VideoError for frames that H.264 cannot have.
    """
    reader = FrameReader(video, limits)
    frames = iter(reader)
    first = list(islice(frames, 1))
    rate = Fraction(reader.frames_per_second or UNKNOWN_RATE).limit_denominator(1001)
    total = reader.num_promised
    drawn = (
        draw(frame, overlay, min(1.0, number / max(total, 1)))
        for number, frame in enumerate(progress(chain(first, frames), total))
    )
    with atomic_path(out) as temporary:
        try:
            write_h264(drawn, rate, temporary)
        except FFmpegError as error:
            if isinstance(error, OSError):  # the disk's, and not the video's
                raise
            height, width = first[0].shape[:2]
            reason = f"frames of {width}x{height} cannot be written as H.264"
            raise VideoError(video, reason) from error


def draw(frame: Frame, overlay: Overlay, position: float) -> Frame:
    """Return the frame at a position (0 to 1) of a video, enlarged if it is small, with all on it.

    Bars stand between those of the moments before and after; flow is that of the nearest moment.
    """
    image = _enlarged(frame)
    height, width = image.shape[:2]
    unit = min(height, width) / 40  # of all that is drawn
    _draw_title(image, overlay.title, unit)
    shares = [np.interp(position, overlay.moments, column) for column in overlay.shares.T]
    _draw_bars(image, overlay.names, shares, unit)
    if overlay.flows:
        nearest = int(np.abs(overlay.moments - position).argmin())
        _draw_inset(image, overlay.flows[nearest], unit)
    return image


def _enlarged(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    factor = max(1.0, min(LEAST_HEIGHT / height, MOST_WIDTH / width))
    size = (2 * round(factor * width / 2), 2 * round(factor * height / 2))
    image = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else frame.copy()
    return np.asarray(image, dtype=np.uint8)


def _draw_title(image: Frame, title: str, unit: float) -> None:
    _shade(image, 0, round(4.5 * unit))
    room = image.shape[1] - 2 * unit
    _write(image, title, (unit, 3.2 * unit), 2.4 * unit, room)


def _draw_bars(image: Frame, names: Sequence[str], shares: Sequence[float], unit: float) -> None:
    height, width = image.shape[:2]
    line = 2.2 * unit
    top = height - line * len(names) - unit
    _shade(image, round(top - 0.5 * unit), height)
    left, length = 0.42 * width, 0.55 * width
    for index, (name, share) in enumerate(zip(names, shares, strict=True)):
        foot = top + line * (index + 1) - 0.5 * unit
        _write(image, name, (unit, foot), 1.4 * unit, left - 2 * unit)
        box = [round(value) for value in (left, foot - 1.2 * unit, left + length * share, foot)]
        cv2.rectangle(image, box[:2], box[2:], COLOURS[index], cv2.FILLED, cv2.LINE_AA)


def _draw_inset(image: Frame, flow: Image, unit: float) -> None:
    """Put a picture of flow into the right upper corner, a quarter of the width."""
    width = image.shape[1] // 4
    height = round(width * flow.shape[0] / flow.shape[1])
    top, left = round(5.5 * unit), image.shape[1] - width - round(unit)
    room = image[top : top + height, left : left + width]
    room[...] = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA)[: len(room)]
    cv2.rectangle(image, (left, top), (left + width - 1, top + len(room) - 1), WHITE, 1)


def _shade(image: Frame, top: int, bottom: int) -> None:
    image[top:bottom] = (image[top:bottom] * SHADE).astype(np.uint8)


def _write(image: Frame, text: str, foot: tuple[float, float], height: float, room: float) -> None:
    """Write a line of that height in pixels, smaller where its room would not do."""
    plain, font = to_ascii(text), cv2.FONT_HERSHEY_SIMPLEX
    thickness = max(1, round(height / 14))
    scale = height / cv2.getTextSize("X", font, 1.0, 1)[0][1] * 0.7
    (width, _), _ = cv2.getTextSize(plain, font, scale, thickness)
    scale *= min(1.0, room / max(width, 1))
    place = (round(foot[0]), round(foot[1]))
    cv2.putText(image, plain, place, font, scale, WHITE, thickness, cv2.LINE_AA)
