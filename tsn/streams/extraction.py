"""Extraction of streams: every video once, in parallel, into a store and from there into place.

Every video's result goes to the store (`tsn.streams.store`) as soon as it is done, so an
interrupted extraction repeats at most the videos it was working on, and a new video costs one
video. Any number of machines can fill a store, each with its share of the videos.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from tsn.files import file_sha256
from tsn.streams.archives import (
    MANIFEST,
    MAX_ENTRIES,
    OK,
    QUARANTINED,
    ArchiveFullError,
    ManifestRow,
    archive_path,
    write_archive,
)
from tsn.streams.contents import LimitError, VideoError
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.store import (
    StoredResult,
    find_result,
    hold_store,
    link_archive,
    put_result,
    result_key,
    stored_archive_path,
    sweep_store,
)
from tsn.streams.table import Acceptance, FramesConfig, Stream, WorkerDevice
from tsn.streams.video import (
    Frame,
    FrameReader,
    TooFewFramesError,
    decord_version,
    initialise_worker,
    pyav_version,
    read_video,
    resize_frames,
    unexpected,
)
from tsn.workers.pool import Died, run_tasks
from tsn.workers.watchdog import watched

logger = logging.getLogger(__name__)


class ExtractionError(ValueError):
    """An extraction that did not give a complete stream. What was finished is in the store."""


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """One finished video: its row of the manifest, whether it was in the store already, and how
    many of its pairs kept their camera motion (warped flow only)."""

    row: ManifestRow
    from_store: bool
    num_unsupported: int


@dataclass(frozen=True, kw_only=True)
class ExtractionJob:
    """What to extract: a stream of the videos below a folder, into a store, by a process a device.

    Raises FileNotFoundError and ValueError for what cannot be done, before any work.
    """

    stream: Stream
    config: FramesConfig
    accept: Acceptance
    videos_dir: Path
    videos: Sequence[str]
    store_dir: Path
    devices: Sequence[WorkerDevice]
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if type(self.config) is not self.stream.config_class:
            raise ValueError(
                f"stream {self.stream.name} takes a {self.stream.config_class.__name__}, "
                f"not a {type(self.config).__name__}"
            )
        if not self.devices:
            raise ValueError("no devices: expected at least one worker to compute with")
        different = set(self.videos)
        if not self.videos or len(different) != len(self.videos):
            raise ValueError(
                f"{len(self.videos)} videos, {len(different)} different: list each one once"
            )
        for video in self.videos:
            if PurePosixPath(video).is_absolute() or ".." in PurePosixPath(video).parts:
                raise ValueError(f"{video!r}: expected a path below {self.videos_dir}")
        missing = [video for video in self.videos if not (self.videos_dir / video).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(self.videos)} videos are not below {self.videos_dir}: "
                f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}. "
                "Run the download again."
            )


def fill_store(job: ExtractionJob) -> Iterator[Extracted]:
    """Yield one record per video as it finishes; its result is in the store.

    Stored results come first, the rest is computed by one process per device.
    """
    with hold_store(job.store_dir):
        yield from _fill_store(job)


def _fill_store(job: ExtractionJob) -> Iterator[Extracted]:
    sweep_store(job.store_dir)
    missing: dict[str, list[str]] = {}

    def record(video: str, key: str, result: StoredResult, from_store: bool) -> Extracted:
        row = _manifest_row(job, video, key, result)
        return Extracted(row=row, from_store=from_store, num_unsupported=result.num_unsupported)

    for video, key in _keys(job):
        result = find_result(job.store_dir, key)
        if result is None:
            missing.setdefault(key, []).append(video)
        else:
            yield record(video, key, result, from_store=True)
    tasks = [
        _Task(job.stream, job.config, job.videos_dir / same[0], job.store_dir, key, job.limits)
        for key, same in missing.items()
    ]
    for task, result in _compute(tasks, job.devices, job.limits):
        for copy, video in enumerate(missing[task.key]):
            yield record(video, task.key, result, from_store=copy > 0)


def extract_stream(job: ExtractionJob, out_dir: Path) -> Iterator[Extracted]:
    """Do as `fill_store` does; then put the archives in place in `out_dir`.

    `out_dir` is complete when the iterator ends; write the manifest from the records then. Raises
    ExtractionError at the end when more than `max_quarantined` videos are unusable.
    """
    _clear_output(out_dir)
    rows = []
    with hold_store(job.store_dir):
        for record in _fill_store(job):
            rows.append(record.row)
            yield record
        _refuse_too_many(job, [row for row in rows if row.status == QUARANTINED])
        for row in rows:
            if row.status == OK:
                link_archive(job.store_dir, row.key, archive_path(out_dir, row.video))


def shard_of(videos: Sequence[str], index: int, count: int) -> list[str]:
    """Return share `index` (from 1) of `count` of the videos; the shares make up the whole.

    Shares are of equal size and take every `count`-th video, so that each has of every class.
    """
    if not 1 <= index <= count:
        raise ValueError(f"shard {index}/{count}: expected 1/{count} to {count}/{count}")
    return sorted(videos)[index - 1 :: count]


def _clear_output(out_dir: Path) -> None:
    """Leave no archive of an earlier run that this one does not answer for."""
    (out_dir / MANIFEST).unlink(missing_ok=True)
    for path in out_dir.rglob("*.zip"):
        path.unlink()


def _keys(job: ExtractionJob) -> Iterator[tuple[str, str]]:
    settings = asdict(job.config) | library_versions()
    videos = sorted(job.videos)
    with ThreadPoolExecutor(len(job.devices)) as pool:
        hashes = pool.map(file_sha256, (job.videos_dir / video for video in videos))
        for video, video_hash in zip(videos, hashes, strict=True):
            yield video, result_key(video_hash, job.stream.name, job.stream.version, settings)


def library_versions() -> dict[str, str]:
    """Return the versions of what decodes, resizes and encodes: another may give other values."""
    return {"opencv": cv2.__version__, "decord": decord_version(), "pyav": pyav_version()}


def _manifest_row(job: ExtractionJob, video: str, key: str, result: StoredResult) -> ManifestRow:
    reason = result.defect
    if not reason and result.num_frames < job.accept.min_frames:
        reason = f"{result.num_frames} frames, expected at least {job.accept.min_frames}"
    return ManifestRow(
        video=video,
        entries=0 if reason else result.num_entries,
        missing=result.num_missing,
        width=job.config.width,
        height=job.config.height,
        status=QUARANTINED if reason else OK,
        reason=reason,
        key=key,
    )


def _refuse_too_many(job: ExtractionJob, quarantined: Sequence[ManifestRow]) -> None:
    if len(quarantined) <= job.accept.max_quarantined:
        return
    rows = sorted(quarantined, key=lambda row: row.video)
    listing = "\n".join(f"  {row.video}: {row.reason}" for row in rows)
    raise ExtractionError(
        f"stream {job.stream.name}: {len(rows)} videos cannot be used, max_quarantined allows "
        f"{job.accept.max_quarantined}:\n{listing}\nPut them right or remove them where the "
        "dataset comes from, and run `tsn repro`, which takes it again. Or raise "
        "accept.max_quarantined in the recipe. All other videos are in the store "
        "and not computed again."
    )


@dataclass(frozen=True)
class _Task:
    stream: Stream
    config: FramesConfig
    video_path: Path
    store_dir: Path
    key: str
    limits: Limits

    def __str__(self) -> str:
        return f"{self.stream.name} of {self.video_path}"


def _compute(
    tasks: Sequence[_Task], devices: Sequence[WorkerDevice], limits: Limits
) -> Iterator[tuple[_Task, StoredResult]]:
    """Yield every task's result; a video that hangs or kills its process twice has a defect.

    The second attempt is made alone, as memory can be what was missing. Such a defect is not kept
    in the store: the next extraction tries again.
    """
    killers = []
    only_read = all(device.name == "cpu" for device in devices)  # CUDA maps more than there is
    begin = partial(initialise_worker, limits.gigabytes if only_read else None)
    for task, answer in run_tasks(_extract_video, tasks, devices, begin):
        if isinstance(answer, Died):
            logger.warning("%s: its worker %s; trying it alone later", task.video_path, answer)
            killers.append(task)
        else:
            yield task, answer
    for killer in killers:
        for task, answer in run_tasks(_extract_video, [killer], devices[:1], begin):
            yield task, _died_twice(answer) if isinstance(answer, Died) else answer


def _died_twice(death: Died) -> StoredResult:
    return _defective(f"the process that extracts it died twice: the last one {death}")


def _defective(defect: str) -> StoredResult:
    return StoredResult(
        num_frames=0, num_missing=0, num_entries=0, num_bytes=0, num_unsupported=0, defect=defect
    )


def _extract_video(task: _Task, device: WorkerDevice) -> StoredResult:
    """Compute one video's stream into the store.

    A limit of this machine, and an error that nobody thought of, are defects that are not kept: it
    can be the memory that was missing. A disk's is nobody's defect.
    """
    try:
        result = read_video(task.video_path, partial(_write_entries, task, device), task.limits)
    except OSError:
        raise
    except LimitError as error:
        return _defective(error.reason)
    except VideoError as error:
        result = _defective(error.reason)
    except Exception as error:
        return _defective(unexpected(error))
    put_result(task.store_dir, task.key, result)
    return result


def _write_entries(task: _Task, device: WorkerDevice, reader: FrameReader) -> StoredResult:
    stream, config = task.stream, task.config
    archive = stored_archive_path(task.store_dir, task.key)
    num_unsupported = num_written = 0

    def frames() -> Iterator[Frame]:
        resized, limits = resize_frames(reader, config.width, config.height), task.limits
        for frame in watched(resized, limits.seconds_per_frame, limits.seconds):
            if stream.num_entries(reader.num_frames) > MAX_ENTRIES:
                raise VideoError(task.video_path, f"more than {MAX_ENTRIES} entries; cut it up")
            yield frame

    def pixels() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal num_unsupported
        for entry in stream.make_entries(frames(), config, device):
            num_unsupported += not entry.supported
            yield entry.pixels

    try:
        entries = pixels()
        first = next(entries, None)
        if first is not None:
            num_written = write_archive(
                archive, chain([first], entries), config.jpeg_quality, device.threads
            )
            defect = ""
        else:
            defect = (
                f"{reader.num_frames} frames, {stream.name} takes {stream.frames_per_entry} or more"
            )
    except (LimitError, TooFewFramesError):
        raise
    except (ArchiveFullError, VideoError) as error:
        defect = error.reason
    if not defect and num_written != stream.num_entries(reader.num_frames):
        raise RuntimeError(f"{stream.name} made {num_written} entries of {reader.num_frames}")
    return StoredResult(
        num_frames=reader.num_frames,
        num_missing=reader.num_missing,
        num_entries=num_written,
        num_bytes=archive.stat().st_size if num_written else 0,
        num_unsupported=num_unsupported,
        defect=defect,
    )
