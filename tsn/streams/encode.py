"""Frames into a video file: H.264 in MP4, which browsers and editors play."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from tsn.streams.video import Frame

CODEC, QUALITY = "libx264", {"crf": "17", "preset": "veryfast"}


def write_h264(frames: Iterable[Frame], rate: Any, path: Path) -> None:
    """Write BGR frames, at least one, of the size of the first, `rate` (a Fraction) a second.

    A last row or column is cut off where their number is odd. ValueError without a frame.
    """
    pixels = iter(frames)
    first = next(pixels, None)
    if first is None:
        raise ValueError(f"{path}: no frame to write")
    height, width = (side // 2 * 2 for side in first.shape[:2])  # H.264 takes even ones alone
    with av.open(str(path), "w", format="mp4") as output:
        stream: Any = output.add_stream(CODEC, rate=rate, options=QUALITY)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in chain([first], pixels):
            even = np.ascontiguousarray(frame[:height, :width])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="bgr24")))
        output.mux(stream.encode(None))
