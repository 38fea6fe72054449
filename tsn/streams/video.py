"""Videos as frames: every frame that truly decodes, and no other.

decord reads every video. Three of its habits would silently change a dataset and are undone here:

* it counts packets, and repeats the last decoded frame for packets that give none (UCF101 clips
  claim up to 46 frames too many): reading stops at the first repeated frame;
* for narrow widths, 96 pixels among them, it hands out padded rows as extra channels;
* it reads a file cut off in transfer, or with a hole in it, to its end without complaint.

Layout: a frame is (H, W, 3) uint8, BGR.
"""

import math
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]

# decord reads 0 as "never stop"; a fraction of the frames below one frame means "at the first".
_STOP_AT_FIRST_REPEATED_FRAME = "0.000000001"
_LEAST_DECODED_FRACTION = 0.75  # of the frames promised; whole clips of UCF101 give 0.91 and more
_DECORD_PREFIX = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ")
# Text that FFmpeg takes for a video of the other files, or addresses, that it names.
_PLAYLISTS = (b"ffconcat", b"#EXTM3U")
_MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


class VideoError(ValueError):
    """A video that cannot be read as a whole. `reason` says why, without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}. Fetch the file again, or leave it out of the dataset and its lists."
        )
        self.reason = reason


def read_frames(path: Path, width: int, height: int) -> Iterator[Frame]:
    """Return the frames of a video, as `FrameReader` yields them, resized to (height, width, 3)."""
    return resize_frames(FrameReader(path), width, height)


def resize_frames(frames: Iterable[Frame], width: int, height: int) -> Iterator[Frame]:
    """Yield every frame as (height, width, 3)."""
    return (resize_frame(frame, width, height) for frame in frames)


class FrameReader:
    """Yields the frames of a video in order, in their own size, BGR.

    Raises FileNotFoundError for a missing file and VideoError for one that is no video, is
    damaged, is cut off, or of which less than three quarters can be decoded. The error can come
    after the first frames: they are a whole video only when the iterator ends by itself. Then
    `num_frames` were decoded, and the file promised `num_missing` more.

    From the first frame on, `num_counted` is how many its header counts, rightly or not (its
    packets where it has no count), `num_promised` that or its packets, whichever are more, and
    `frames_per_second` how many it shows (0: unknown).
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self.num_frames = self.num_missing = self.num_counted = self.num_promised = 0
        self.frames_per_second = 0.0

    def __iter__(self) -> Iterator[Frame]:
        path = self._path
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such video file")
        reader = _open(path)
        self.num_counted = _counted_frames(path, len(reader))
        self.frames_per_second = _frames_per_second(path, reader)
        self.num_promised = promised = max(self.num_counted, len(reader))
        for self.num_frames, frame in enumerate(_decode(path, reader), start=1):
            yield _to_bgr(frame)
        if self.num_frames < _LEAST_DECODED_FRACTION * promised:
            raise VideoError(path, f"only {self.num_frames} of {promised} frames can be decoded")
        self.num_missing = promised - self.num_frames


def glance(path: Path, position: float) -> Frame:
    """Return the frame at `position`, in [0, 1), without decoding the whole video.

    Raises VideoError for one that is no video or damaged there.
    """
    decord = import_decord()
    reader = _open(path)
    try:
        frame = reader[int(position * len(reader))].asnumpy()
    except (decord.DECORDError, decord.DECORDLimitReachedError, IndexError, RuntimeError) as error:
        raise VideoError(path, f"damaged video: {_decord_reason(error, path)}") from error
    return _to_bgr(frame)


def count_packets(path: Path) -> int:
    """Return how many frames there are if every packet of the video gives one, without decoding."""
    return len(_open(path))


def import_decord() -> Any:
    """Return the module, without the CUDA libraries that it opens when it finds any.

    It wants none of them to decode on the CPU. They take 0.6 GB and 0.3 s of every process, and
    among them is NVBLAS, which takes the place of torch's BLAS and crashes without a GPU.
    """
    if "decord" not in sys.modules:
        nvidia = sys.modules.get("nvidia")
        sys.modules["nvidia"] = None  # type: ignore[assignment]  # not there, says the import system
        try:
            import decord  # noqa: F401
        finally:
            del sys.modules["nvidia"]
            if nvidia is not None:
                sys.modules["nvidia"] = nvidia
    return sys.modules["decord"]


def decord_version() -> str:
    """Return the version of the decoder."""
    return version("decord2")


def quiet_decoding() -> None:
    """Keep decord's remarks on odd files off the screen, for this process."""
    decord = import_decord()
    decord.logging.set_level(decord.logging.QUIET)


def initialise_worker() -> None:
    """Make a process that has one core to itself ready to read videos."""
    cv2.setNumThreads(1)
    quiet_decoding()


def _open(path: Path) -> Any:
    decord = import_decord()
    if path.stat().st_size == 0:
        raise VideoError(path, "the file is empty (0 bytes)")
    if _is_playlist(path):
        raise VideoError(path, "a list of other files, not a video")
    try:
        return decord.VideoReader(str(path), num_threads=1, fault_tol=_STOP_AT_FIRST_REPEATED_FRAME)
    except RuntimeError as error:
        raise VideoError(path, "not a video file, or one without its header") from error
    except decord.DECORDError as error:
        raise VideoError(path, f"not a readable video: {_decord_reason(error, path)}") from error


def _is_playlist(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(256)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_PLAYLISTS)


def _decode(path: Path, reader: Any) -> Iterator[Frame]:
    decord = import_decord()
    for _ in range(len(reader)):
        try:
            frame = reader.next().asnumpy()
        except decord.DECORDLimitReachedError:
            return
        except decord.DECORDError as error:
            raise VideoError(path, f"damaged video: {_decord_reason(error, path)}") from error
        yield frame


def _decord_reason(error: Exception, path: Path) -> str:
    """Return decord's message without times and paths: a reason is recorded and must not vary."""
    text = _DECORD_PREFIX.sub("", str(error)).replace(f"[{path}] ", "").replace(str(path), "it")
    return " ".join(text.split()).rstrip(".")[:200]


def _frames_per_second(path: Path, reader: Any) -> float:
    try:
        rate = float(reader.get_avg_fps())
    except import_decord().DECORDError as error:
        raise VideoError(path, f"damaged video: {_decord_reason(error, path)}") from error
    return rate if math.isfinite(rate) and rate > 0 else 0.0


def _to_bgr(frame: Frame) -> Frame:
    height, width, channels = frame.shape
    if channels != 3:
        # decord takes the width of a row in memory for a multiple of the frame's width.
        frame = frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), dtype=np.uint8)


def resize_frame(frame: Frame, width: int, height: int) -> Frame:
    """Return the frame as (height, width, 3)."""
    if frame.shape[:2] == (height, width):
        return frame
    resized = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def _counted_frames(path: Path, num_packets: int) -> int:
    """Return how many frames the header of an AVI or MP4 counts, or the packets of the file.

    Raises VideoError if it ends before its container does and frames went with the rest.
    """
    declared_size = _declared_size(path)
    if not declared_size:
        return num_packets  # other containers do not say; OpenCV would guess
    capture = cv2.VideoCapture(str(path))
    counted = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    size = path.stat().st_size
    if declared_size > size and counted > num_packets:
        raise VideoError(
            path,
            f"the file is cut off: it has {size} of {declared_size} bytes and {num_packets} of "
            f"{counted} frames",
        )
    # In an MP4, fewer are those of another stream than decord's: its index is what it has.
    can_be_fewer = counted > 0 and _is_avi(path)
    return counted if can_be_fewer else max(counted, num_packets)


def _is_avi(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"RIFF"


def _declared_size(path: Path) -> int:
    """Return the bytes that an AVI or MP4 file says it has; 0 for other containers."""
    with path.open("rb") as file:
        head = file.read(16)
        is_avi, is_mp4 = head[:4] == b"RIFF", head[4:8] in _MP4_FIRST_BOXES
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
