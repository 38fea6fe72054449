"""Small videos in every container that is read."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
from videos import vivid_frames

from tsn.streams.video import Frame

# FFmpeg's names of container and codec, by the file's ending.
KINDS = {
    "avi": ("avi", "mpeg4"),
    "mp4": ("mp4", "libx264"),
    "mov": ("mov", "mpeg4"),
    "3gp": ("3gp", "h263"),
    "mkv": ("matroska", "libx264"),
    "webm": ("webm", "libvpx"),
    "ts": ("mpegts", "libx264"),
    "mpg": ("mpeg", "mpeg2video"),
    "ogv": ("ogg", "libvpx"),
    "flv": ("flv", "flv"),
    "wmv": ("asf", "wmv2"),
    "gif": ("gif", "gif"),
    "h264": ("h264", "libx264"),
    "hevc": ("hevc", "libx265"),
    "m4v": ("m4v", "mpeg4"),
    "m2v": ("mpeg2video", "mpeg2video"),
    "ivf": ("ivf", "libvpx"),
    "mxf": ("mxf", "mpeg2video"),
}
WIDTH, HEIGHT = 176, 144  # which H.263 can be
QUIET = {"libx265": {"x265-params": "log-level=none"}}


def encode(
    path: Path,
    frames: Sequence[Frame],
    container: str,
    codec: str,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write `frames` at 25 a second; `options` are the container's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, options=dict(options or {})) as output:
        stream = output.add_stream(codec, rate=25, options=QUIET.get(codec))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.time_base = Fraction(1, 25)
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="bgr24")
            picture.pts = number
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def encode_kind(folder: Path, ending: str, count: int = 30) -> Path:
    """Write a video of `count` frames of that ending's container."""
    container, codec = KINDS[ending]
    return encode(folder / f"clip.{ending}", vivid_frames(count, WIDTH, HEIGHT), container, codec)
