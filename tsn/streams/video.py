"""Videos as frames: every frame that truly decodes, and no other.

decord reads videos. Four of its habits would silently change a dataset and are undone here:

* it counts packets, and repeats the last decoded frame for packets that give none (UCF101 clips
  claim up to 46 frames too many): reading stops at the first repeated frame;
* for narrow widths, 96 pixels among them, it hands out padded rows as extra channels;
* it reads a file cut off in transfer, or with a hole in it, to its end without complaint;
* it loses the first frames of MPEG streams, and does not open files that were written live.

PyAV, which is FFmpeg without such habits, reads what decord cannot: see `FrameReader`.

Layout: a frame is (H, W, 3) uint8, BGR.
"""

import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from tsn.streams.contents import (
    Contents,
    LimitError,
    VideoError,
    inspect,
    open_container,
    refuse_other_causes,
    video_stream,
)
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.workers.watchdog import watched

Frame = npt.NDArray[np.uint8]
T = TypeVar("T")

DECORD, PYAV = "decord", "pyav"

# decord reads 0 as "never stop"; a fraction of the frames below one frame means "at the first".
_STOP_AT_FIRST_REPEATED_FRAME = "0.000000001"
_LEAST_DECODED_FRACTION = 0.75  # of the frames promised; whole clips of UCF101 give 0.91 and more
_DECORD_PREFIX = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ")
# Where decord loses frames, finds no length, or aborts at damage (ASF).
_PYAV_CONTAINERS = ("mpegts", "mpeg", "mpegvideo", "ogg", "asf", "h264", "hevc", "m4v")
SOUGHT_CONTAINERS = ("avi", "mov", "matroska")  # in which a frame is found by number or time


class TooFewFramesError(VideoError):
    """Of a video less than three quarters of the frames can be decoded, or by one decoder."""


class _NotForDecordError(Exception):
    """A video that decord does not open, or not a single frame of it."""


def read_video(
    path: Path, read: Callable[["FrameReader"], T], limits: Limits = DEFAULT_LIMITS
) -> T:
    """Return what `read` makes of the video's reader; it may be called twice.

    Where decord gives other frames than those to be shown, PyAV counts those that decode. If their
    number is another, the video is read again, by PyAV. Raises as `FrameReader` does.
    """
    reader = FrameReader(path, limits)
    try:
        result = read(reader)
    except TooFewFramesError:
        if not reader.is_doubtful or _count_decodable(path, limits) in (0, reader.num_frames):
            raise
    else:
        if not reader.is_doubtful or _count_decodable(path, limits) in (0, reader.num_frames):
            return result
    return read(FrameReader(path, limits, decoder=PYAV))


def read_frames(path: Path, width: int, height: int) -> Iterator[Frame]:
    """Yield the frames of a video, as `FrameReader` does, resized to (height, width, 3)."""
    return resize_frames(FrameReader(path), width, height)


def resize_frames(frames: Iterable[Frame], width: int, height: int) -> Iterator[Frame]:
    """Yield every frame as (height, width, 3)."""
    return (resize_frame(frame, width, height) for frame in frames)


class FrameReader:
    """Yields the frames of a video in order, in their own size, BGR.

    Raises FileNotFoundError for a missing file and VideoError for one that is no video, is beyond
    the limits, is damaged, is cut off, or of which less than three quarters can be decoded. The
    error can come after the first frames: they are a whole video only when the iterator ends by
    itself. Then `num_frames` were decoded, and the file promised `num_missing` more.

    From the first frame on, `num_counted` is how many its header counts, rightly or not (those to
    be shown where it has no count), `num_promised` that or those to be shown, whichever are more,
    and `frames_per_second` how many it shows (0: unknown).

    `decoder` is which one reads: PyAV where decord is known to fail or does not start, else decord.
    `is_doubtful` says at the end that decord gave other frames than those to be shown: see
    `read_video`.
    """

    def __init__(
        self, path: Path, limits: Limits = DEFAULT_LIMITS, decoder: str | None = None
    ) -> None:
        self._path = Path(path)
        self._limits = limits
        self._wanted = decoder
        self.decoder = ""
        self.is_doubtful = False
        self.num_frames = self.num_missing = self.num_counted = self.num_promised = 0
        self.frames_per_second = 0.0

    def __iter__(self) -> Iterator[Frame]:
        path = self._path
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such video file")
        contents = inspect(path, self._limits)
        self.num_counted, self.num_promised = contents.counted, contents.promised
        self.frames_per_second = contents.frames_per_second
        for number, frame in enumerate(self._decode(contents), start=1):
            self.num_frames = number
            if number > self._limits.frames:
                raise LimitError(path, f"more than {self._limits.frames} frames; cut it up")
            if frame.shape[0] * frame.shape[1] > self._limits.pixels:
                raise LimitError(path, f"frames of more than {self._limits.pixels} pixels")
            yield frame
        self.is_doubtful = self.decoder == DECORD and self.num_frames != contents.shown
        if self.num_frames < _LEAST_DECODED_FRACTION * contents.promised:
            reason = f"only {self.num_frames} of {contents.promised} frames can be decoded"
            raise TooFewFramesError(path, reason)
        self.num_missing = max(0, contents.promised - self.num_frames)

    def _decode(self, contents: Contents) -> Iterator[Frame]:
        first = PYAV if contents.container in _PYAV_CONTAINERS else DECORD
        self.decoder = self._wanted or first
        if self.decoder == DECORD:
            frames = _decord_frames(self._path)
            try:
                frame = next(frames)
            except StopIteration:
                return
            except _NotForDecordError:
                self.decoder = PYAV
            else:
                yield from chain([frame], frames)
                return
        yield from _pyav_frames(self._path)


def unexpected(error: Exception) -> str:
    """Return the defect of a video at which something failed that nobody thought of."""
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def glance(path: Path, position: float, limits: Limits = DEFAULT_LIMITS) -> Frame:
    """Return the frame at `position`, in [0, 1); decord does not decode the whole video for it.

    Raises VideoError for one that is no video or damaged there.
    """
    contents = inspect(path, limits)
    if contents.container.startswith(SOUGHT_CONTAINERS):
        try:
            reader = _open_decord(path)
            return _to_bgr(reader[int(position * len(reader))].asnumpy())
        except Exception:  # whatever it is: the other one is asked
            pass
    for number, frame in enumerate(_pyav_frames(path)):
        if number >= int(position * contents.shown):
            return frame
    raise VideoError(path, "damaged video: it has no such frame")


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


def initialise_worker(gigabytes: float | None = None) -> None:
    """Make a process that has one core to itself ready to read videos.

    gigabytes: the memory that it may take beyond what it has, where the system can limit that.
    """
    cv2.setNumThreads(1)
    decord = import_decord()
    decord.logging.set_level(decord.logging.QUIET)  # no remarks on odd files
    av.logging.set_level(None)
    if gigabytes is not None and sys.platform == "linux":
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        there = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        limit = min([taken + int(gigabytes * 2**30), *there])
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def pyav_version() -> str:
    """Return the version of the second decoder."""
    return version("av")


def _open_decord(path: Path) -> Any:
    return import_decord().VideoReader(
        str(path.absolute()), num_threads=1, fault_tol=_STOP_AT_FIRST_REPEATED_FRAME
    )


def _decord_frames(path: Path) -> Iterator[Frame]:
    """Yield decord's frames, BGR; _NotForDecordError before the first one if it cannot begin."""
    decord = import_decord()
    try:
        reader = _open_decord(path)
        frame = reader.next().asnumpy()
    except decord.DECORDLimitReachedError:
        return
    except (decord.DECORDError, RuntimeError, StopIteration) as error:
        raise _NotForDecordError from error
    yield _to_bgr(frame)
    for _ in range(len(reader) - 1):
        try:
            frame = reader.next().asnumpy()
        except (decord.DECORDLimitReachedError, StopIteration):
            return
        except (decord.DECORDError, RuntimeError) as error:
            refuse_other_causes(path, error)
            reason = f"damaged video: {_decord_reason(error, path)}"
            raise VideoError(path, reason) from error
        yield _to_bgr(frame)


def _pyav_frames(path: Path) -> Iterator[Frame]:
    """Yield PyAV's frames, BGR, turned as the file says."""
    for frame in _decoded(path):
        with _told_as_damage(path):
            pixels = turned_pixels(frame)
        yield pixels


def turned_pixels(frame: Any) -> Frame:
    """Return a frame of PyAV, turned as the file says."""
    pixels = frame.to_ndarray(format="bgr24")
    turned = np.rot90(pixels, frame.rotation // 90) if frame.rotation else pixels
    return np.ascontiguousarray(turned, dtype=np.uint8)


def _count_decodable(path: Path, limits: Limits) -> int:
    """Return how many frames PyAV decodes; 0 of a damaged video, of which nobody knows."""
    try:
        return sum(1 for _ in watched(_decoded(path), limits.seconds_per_frame, limits.seconds))
    except VideoError:
        return 0


def _decoded(path: Path) -> Iterator[Any]:
    with _told_as_damage(path), open_container(path) as container:
        stream = video_stream(path, container)
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


@contextmanager
def _told_as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        refuse_other_causes(path, error)
        raise VideoError(path, f"damaged video: {error.strerror}") from error


def _decord_reason(error: Exception, path: Path) -> str:
    """Return decord's message without times and paths: a reason is recorded and must not vary."""
    where = str(path.absolute())
    text = _DECORD_PREFIX.sub("", str(error)).replace(f"[{where}] ", "").replace(where, "it")
    return " ".join(text.split()).rstrip(".")[:200]


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
