"""What a file says that it holds, found before it is decoded; what is no video is refused.

FFmpeg, by PyAV, looks for the containers below and for no others: it would take a text for a film
of its letters, a still image for a film of one frame, and a playlist for the files that it names.
"""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
from av.error import FFmpegError

from tsn.streams.limits import Limits

# FFmpeg's names of them.
CONTAINERS = (
    *("avi", "mov", "matroska", "mpegts", "mpeg", "ogg", "flv", "asf", "gif", "dv", "mxf", "ivf"),
    *("h264", "hevc", "m4v", "mpegvideo"),  # bare streams
)
# Codecs that are not handed to a decoder, and why.
REFUSED_CODECS = {"magicyuv": "FFmpeg's decoder of it can be made to write anywhere: CVE-2026-8461"}
MPEG4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
# Text that FFmpeg takes for a video of the other files, or addresses, that it names.
PLAYLISTS = (b"ffconcat", b"#EXTM3U")
NO_VIDEO = "not a video file"
# FFmpeg decodes some frames to find out what a file holds: none of these.
_DECODERS = ",".join(sorted(av.codec.codecs_available - REFUSED_CODECS.keys()))


class VideoError(ValueError):
    """A video that cannot be read as a whole. `reason` says why, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}. Fetch the file again, or leave it out of the dataset and its lists."
        )
        self.reason = reason


class LimitError(VideoError):
    """A video beyond the limits of this machine: with others it may be read."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """container: FFmpeg's name. counted: the frames that the header counts, rightly or
    not, or `shown` where it counts none. shown: the packets whose frames are to be shown, which an
    edit list can leave few of. frames_per_second: 0 where it is unknown."""

    container: str
    counted: int
    shown: int
    frames_per_second: float

    @property
    def promised(self) -> int:
        """Return how many frames a whole file gives."""
        return max(self.counted, self.shown)


def inspect(path: Path, limits: Limits) -> Contents:
    """Return what a file holds. Raises VideoError for what is no video, is cut off or too large."""
    size = path.stat().st_size
    if size == 0:
        raise VideoError(path, "the file is empty (0 bytes)")
    if _head(path).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(PLAYLISTS):
        raise VideoError(path, "a list of other files, not a video")
    try:
        with open_container(path) as container:
            stream = video_stream(path, container)
            _refuse(path, stream, size, limits)
            packets, shown = _count(path, container, stream, limits)
            return Contents(
                container=container.format.name,
                counted=_counted(path, stream.frames, packets, shown),
                shown=shown,
                frames_per_second=float(stream.average_rate or stream.guessed_rate or 0),
            )
    except FFmpegError as error:
        refuse_other_causes(path, error)
        raise VideoError(path, _what_else(path)) from error


def refuse_other_causes(path: Path, error: Exception) -> None:
    """Raise what says nothing of the video when a decoder failed: LimitError for memory, OSError.

    FFmpeg calls damage an input error, too, so it is the disk that is asked: the file is read.
    """
    if isinstance(error, FFmpegError) and error.errno == errno.ENOMEM:
        raise LimitError(path, "it takes more memory than its reader may have") from error
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def open_container(path: Path) -> Any:
    """Open a file as one of the containers, by its absolute path: a name is never an address."""
    options = {
        "format_whitelist": ",".join(CONTAINERS),
        "codec_whitelist": _DECODERS,
        "protocol_whitelist": "file",
    }
    return av.open(str(path.absolute()), options=options, metadata_errors="replace")


def video_stream(path: Path, container: Any) -> Any:
    """Return the video of a container. Raises VideoError for one without."""
    for stream in container.streams.video:
        codec = getattr(stream.codec_context, "name", "")
        if codec in REFUSED_CODECS:
            raise VideoError(path, f"codec {codec} is not read ({REFUSED_CODECS[codec]})")
    stream = container.streams.best("video")
    if stream is None:
        raise VideoError(path, f"{NO_VIDEO}: it has no pictures")
    if stream.codec_context is None:
        raise VideoError(path, "its codec is not known")
    if "attached_pic" in str(stream.disposition).lower():
        raise VideoError(path, f"{NO_VIDEO}: its only picture is a cover")
    return stream


def _refuse(path: Path, stream: Any, size: int, limits: Limits) -> None:
    width, height = stream.width, stream.height
    if width * height > limits.pixels:
        raise LimitError(path, f"{width}x{height} pixels; at most {limits.pixels} are read")
    if stream.frames > size:
        raise VideoError(
            path, f"its header counts {stream.frames} frames, more than {size} bytes can hold"
        )


def _count(path: Path, container: Any, stream: Any, limits: Limits) -> tuple[int, int]:
    """Return how many packets there are, and how many of them are to be shown."""
    packets = shown = 0
    try:
        for packet in container.demux(stream):
            if packet.size:
                packets += 1
                shown += not packet.is_discard
            if packets > limits.frames:
                raise LimitError(path, f"more than {limits.frames} frames; cut it up")
    except FFmpegError as error:
        # Else what comes after is damaged: whoever decodes it says so.
        refuse_other_causes(path, error)
    return packets, shown


def _counted(path: Path, header: int, packets: int, shown: int) -> int:
    """Return how many frames the header counts, or the packets show.

    Raises VideoError if the file ends before its container does and frames went with the rest.
    """
    header -= packets - shown
    declared, size = _declared_size(path), path.stat().st_size
    if declared > size and header > shown:
        raise VideoError(
            path,
            f"the file is cut off: it has {size} of {declared} bytes and {shown} of {header} "
            "frames",
        )
    # In an MP4, fewer are those of another stream: its index is what it has.
    can_be_fewer = header > 0 and _head(path).startswith(b"RIFF")
    return header if can_be_fewer else max(header, shown)


def _what_else(path: Path) -> str:
    """Return what a file is that FFmpeg does not take for a video."""
    head = _head(path)
    try:
        text = head.decode("utf-8", errors="ignore" if len(head) > 3 else "strict")
        is_text = len(text.encode()) > len(head) - 4 and all(
            letter.isprintable() or letter.isspace() for letter in text
        )
    except UnicodeDecodeError:
        is_text = False
    if is_text:
        return f"{NO_VIDEO}: it holds text"
    if cv2.haveImageReader(str(path)):
        return f"{NO_VIDEO}: it is a still image"
    return f"{NO_VIDEO}, or one without its header"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(256)


def _declared_size(path: Path) -> int:
    """Return the bytes that an AVI or MP4 file says it has; 0 for other containers."""
    with path.open("rb") as file:
        head = file.read(16)
        is_avi, is_mp4 = head[:4] == b"RIFF", head[4:8] in MPEG4_FIRST_BOXES
        end, size = 0, path.stat().st_size
        while (is_avi or is_mp4) and len(head) >= 8 and end < size:
            length = _riff_length(head) if is_avi else _box_length(head)
            if length < 8:
                break
            end += length
            file.seek(min(end, size))
            head = file.read(16)
    return end


def _riff_length(head: bytes) -> int:
    if head[:4] != b"RIFF":
        return 0
    length = int.from_bytes(head[4:8], "little")
    return 8 + length + length % 2


def _box_length(head: bytes) -> int:
    length = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if length == 1 else length
