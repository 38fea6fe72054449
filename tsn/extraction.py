"""Extraction of streams: every video once, in parallel, into a store and from there into place.

A stream turns the N frames of a video into entries: N images, or the flow of N - 1 pairs of
neighbours (entry i belongs to frames i and i + 1). Every video's result goes to the store
(`tsn.store`) as soon as it is done, so an interrupted extraction repeats at most the videos it was
working on, and a new video costs one video.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import decord
import numpy as np
import numpy.typing as npt

from tsn.archives import (
    MANIFEST,
    MAX_ENTRIES,
    OK,
    QUARANTINED,
    ManifestRow,
    archive_path,
    write_archive,
)
from tsn.optical_flow import (
    FLOW_ENGINES,
    HomographyConfig,
    create_engine,
    flow_to_uint8,
    to_gray,
    warped_flow,
)
from tsn.store import (
    StoredResult,
    find_result,
    hash_file,
    link_archive,
    put_result,
    result_key,
    stored_archive_path,
    sweep_store,
)
from tsn.video import Frame, VideoError, read_frames
from tsn.worker_pool import Died, run_tasks

logger = logging.getLogger(__name__)

# What decides whether a finished video is accepted, not what is in its archive.
_NOT_IN_KEY = ("min_frames", "max_quarantined")
# What decodes, resizes, computes and encodes: another version may give other values.
_LIBRARIES = {"opencv": cv2.__version__, "decord": decord.__version__}


class ExtractionError(ValueError):
    """An extraction that did not give a complete stream. What was finished is in the store."""


@dataclass(frozen=True, kw_only=True)
class FramesConfig:
    """Frames resized to `width` x `height`. Videos of fewer than `min_frames` frames and
    unreadable ones are quarantined; more than `max_quarantined` of them are an error."""

    width: int
    height: int
    jpeg_quality: int
    min_frames: int
    max_quarantined: int

    def __post_init__(self) -> None:
        for name in ("width", "height", "min_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}, expected 1 to 100")
        if self.max_quarantined < 0:
            raise ValueError(f"max_quarantined is {self.max_quarantined}, expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class FlowConfig(FramesConfig):
    """Flow of the resized frames by `engine`, clipped at `bound` pixels."""

    bound: float
    engine: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bound <= 0:
            raise ValueError(f"bound is {self.bound}, expected above 0 pixels")
        if self.engine not in FLOW_ENGINES:
            raise ValueError(f"engine is {self.engine!r}; valid: {', '.join(sorted(FLOW_ENGINES))}")


@dataclass(frozen=True, kw_only=True)
class WarpedFlowConfig(FlowConfig):
    """Flow after the camera motion that `homography` finds is taken out."""

    homography: HomographyConfig


class Entry(NamedTuple):
    """`pixels` (H, W, C) uint8; `supported` is False where camera motion was not found."""

    pixels: npt.NDArray[np.uint8]
    supported: bool


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How a video becomes entries. Raise `version` with every change of the entries' values."""

    name: str
    config_class: type[FramesConfig]
    make_entries: Callable[[Iterator[Frame], Any], Iterator[Entry]]
    frames_per_entry: int
    version: int

    def num_entries(self, num_frames: int) -> int:
        """Return how many entries that many frames give."""
        return max(0, num_frames - self.frames_per_entry + 1)


def frame_entries(frames: Iterator[Frame], _config: FramesConfig) -> Iterator[Entry]:
    """Yield every frame as it is."""
    return (Entry(frame, True) for frame in frames)


def flow_entries(frames: Iterator[Frame], config: FlowConfig) -> Iterator[Entry]:
    """Yield the quantised flow of every pair of neighbours."""
    engine = create_engine(config.engine)
    for gray0, gray1 in pairwise(map(to_gray, frames)):
        yield Entry(flow_to_uint8(engine(gray0, gray1), config.bound), True)


def warped_flow_entries(frames: Iterator[Frame], config: WarpedFlowConfig) -> Iterator[Entry]:
    """Yield the quantised warped flow of every pair of neighbours."""
    engine = create_engine(config.engine)
    for frame0, frame1 in pairwise(frames):
        flow, supported = warped_flow(frame0, frame1, engine, config.homography)
        yield Entry(flow_to_uint8(flow, config.bound), supported)


STREAMS: dict[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream(
            name="frames",
            config_class=FramesConfig,
            make_entries=frame_entries,
            frames_per_entry=1,
            version=1,
        ),
        Stream(
            name="flow",
            config_class=FlowConfig,
            make_entries=flow_entries,
            frames_per_entry=2,
            version=1,
        ),
        Stream(
            name="warped_flow",
            config_class=WarpedFlowConfig,
            make_entries=warped_flow_entries,
            frames_per_entry=2,
            version=1,
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """One finished video: its row of the manifest, whether it was in the store already, and how
    many of its pairs kept their camera motion (warped flow only)."""

    row: ManifestRow
    from_store: bool
    num_unsupported: int


def extract_stream(
    stream: Stream,
    config: FramesConfig,
    videos_dir: Path,
    videos: Sequence[str],
    out_dir: Path,
    store_dir: Path,
    workers: int,
) -> Iterator[Extracted]:
    """Yield one record per video as it finishes, then put the archives in place in `out_dir`.

    Stored results come first, the rest is computed by `workers` processes. `out_dir` is complete
    when the iterator ends; write the manifest from the records then. Raises FileNotFoundError and
    ValueError for bad arguments before any work, ExtractionError at the end when more than
    `config.max_quarantined` videos are unusable. The calling script needs the usual
    `if __name__ == "__main__":`, as workers are spawned.
    """
    _check_arguments(stream, config, Path(videos_dir), videos, workers)
    return _extract(
        stream, config, Path(videos_dir), sorted(videos), Path(out_dir), Path(store_dir), workers
    )


def _extract(
    stream: Stream,
    config: FramesConfig,
    videos_dir: Path,
    videos: Sequence[str],
    out_dir: Path,
    store_dir: Path,
    workers: int,
) -> Iterator[Extracted]:
    _clear_output(out_dir)
    sweep_store(store_dir)
    missing: dict[str, list[str]] = {}
    good: dict[str, str] = {}
    quarantined: list[ManifestRow] = []

    def finish(video: str, key: str, result: StoredResult, from_store: bool) -> Extracted:
        row = _manifest_row(video, key, result, config)
        if row.status == OK:
            good[video] = key
        else:
            quarantined.append(row)
        return Extracted(row=row, from_store=from_store, num_unsupported=result.num_unsupported)

    for video, key in _keys(stream, config, videos_dir, videos, workers):
        result = find_result(store_dir, key)
        if result is None:
            missing.setdefault(key, []).append(video)
        else:
            yield finish(video, key, result, from_store=True)
    tasks = [
        _Task(stream, config, videos_dir / same[0], store_dir, key) for key, same in missing.items()
    ]
    for task, result in _compute(tasks, workers):
        for copy, video in enumerate(missing[task.key]):
            yield finish(video, task.key, result, from_store=copy > 0)

    _refuse_too_many(stream, config, quarantined)
    for video, key in good.items():
        link_archive(store_dir, key, archive_path(out_dir, video))


def _check_arguments(
    stream: Stream, config: FramesConfig, videos_dir: Path, videos: Sequence[str], workers: int
) -> None:
    if type(config) is not stream.config_class:
        raise ValueError(
            f"stream {stream.name} takes a {stream.config_class.__name__}, "
            f"not a {type(config).__name__}"
        )
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected at least 1")
    if not videos or len(set(videos)) != len(videos):
        raise ValueError(f"{len(videos)} videos, {len(set(videos))} different: list each one once")
    for video in videos:
        if PurePosixPath(video).is_absolute() or ".." in PurePosixPath(video).parts:
            raise ValueError(f"{video!r}: expected a path below {videos_dir}")
    missing = [video for video in videos if not (videos_dir / video).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(videos)} videos are not below {videos_dir}: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}. Run the download again."
        )


def _clear_output(out_dir: Path) -> None:
    """Leave no archive of an earlier run that this one does not answer for."""
    (out_dir / MANIFEST).unlink(missing_ok=True)
    for path in out_dir.rglob("*.zip"):
        path.unlink()


def _keys(
    stream: Stream, config: FramesConfig, videos_dir: Path, videos: Sequence[str], workers: int
) -> Iterator[tuple[str, str]]:
    settings = {k: v for k, v in asdict(config).items() if k not in _NOT_IN_KEY} | _LIBRARIES
    with ThreadPoolExecutor(workers) as threads:
        hashes = threads.map(hash_file, (videos_dir / video for video in videos))
        for video, video_hash in zip(videos, hashes, strict=True):
            yield video, result_key(video_hash, stream.name, stream.version, settings)


def _manifest_row(video: str, key: str, result: StoredResult, config: FramesConfig) -> ManifestRow:
    reason = result.defect
    if not reason and result.num_frames < config.min_frames:
        reason = f"{result.num_frames} frames, expected at least {config.min_frames}"
    return ManifestRow(
        video=video,
        entries=0 if reason else result.num_entries,
        width=config.width,
        height=config.height,
        status=QUARANTINED if reason else OK,
        reason=reason,
        key=key,
    )


def _refuse_too_many(
    stream: Stream, config: FramesConfig, quarantined: Sequence[ManifestRow]
) -> None:
    if len(quarantined) <= config.max_quarantined:
        return
    rows = sorted(quarantined, key=lambda row: row.video)
    listing = "\n".join(f"  {row.video}: {row.reason}" for row in rows)
    raise ExtractionError(
        f"stream {stream.name}: {len(rows)} videos cannot be used, max_quarantined allows "
        f"{config.max_quarantined}:\n{listing}\nFetch them again, remove them from the dataset, "
        f"or raise max_quarantined. All other videos are in the store and not computed again."
    )


@dataclass(frozen=True)
class _Task:
    stream: Stream
    config: FramesConfig
    video_path: Path
    store_dir: Path
    key: str

    def __str__(self) -> str:
        return f"{self.stream.name} of {self.video_path}"


def _compute(tasks: Sequence[_Task], workers: int) -> Iterator[tuple[_Task, StoredResult]]:
    """Yield every task's result; a video that kills its process twice has a defect.

    The second attempt is made alone, as memory can be what was missing. Such a defect is not kept
    in the store: the next extraction tries again.
    """
    killers = []
    for task, answer in run_tasks(_extract_video, tasks, workers, _initialise_worker):
        if isinstance(answer, Died):
            logger.warning("%s: its worker %s; trying it alone later", task.video_path, answer)
            killers.append(task)
        else:
            yield task, answer
    for killer in killers:
        for task, answer in run_tasks(_extract_video, [killer], 1, _initialise_worker):
            yield task, _died_twice(answer) if isinstance(answer, Died) else answer


def _died_twice(death: Died) -> StoredResult:
    return _defective(f"the process that extracts it died twice: the last one {death}")


def _defective(defect: str) -> StoredResult:
    return StoredResult(num_frames=0, num_entries=0, num_bytes=0, num_unsupported=0, defect=defect)


def _initialise_worker() -> None:
    cv2.setNumThreads(1)
    decord.logging.set_level(decord.logging.QUIET)


def _extract_video(task: _Task) -> StoredResult:
    """Compute one video's stream into the store.

    An error of OpenCV is a defect that is not kept: it can be the memory that was missing.
    """
    try:
        result = _write_entries(task, stored_archive_path(task.store_dir, task.key))
    except cv2.error as error:
        return _defective(f"OpenCV: {error.err}")
    put_result(task.store_dir, task.key, result)
    return result


def _write_entries(task: _Task, archive: Path) -> StoredResult:
    stream, config = task.stream, task.config
    num_frames = num_unsupported = num_written = 0

    def frames() -> Iterator[Frame]:
        nonlocal num_frames
        for frame in read_frames(task.video_path, config.width, config.height):
            num_frames += 1
            if num_frames > MAX_ENTRIES:
                raise VideoError(task.video_path, f"more than {MAX_ENTRIES} frames; cut it up")
            yield frame

    def pixels() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal num_unsupported
        for entry in stream.make_entries(frames(), config):
            num_unsupported += not entry.supported
            yield entry.pixels

    try:
        entries = pixels()
        first = next(entries, None)
        if first is not None:
            num_written = write_archive(archive, chain([first], entries), config.jpeg_quality)
            defect = ""
        else:
            defect = f"{num_frames} frames, {stream.name} takes {stream.frames_per_entry} or more"
    except VideoError as error:
        defect = error.reason
    if not defect and num_written != stream.num_entries(num_frames):
        raise RuntimeError(f"{stream.name} made {num_written} entries of {num_frames} frames")
    return StoredResult(
        num_frames=num_frames,
        num_entries=num_written,
        num_bytes=archive.stat().st_size if num_written else 0,
        num_unsupported=num_unsupported,
        defect=defect,
    )
