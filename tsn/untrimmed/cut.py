"""Clips cut out of untrimmed videos: what is annotated, and so none of the background between.

They are trained on like any other clips: `clips.csv` lists them for a source of kind csv. Clips are
H.264, of a quality that is hard to tell from the video's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from av.error import FFmpegError

from tsn.files import atomic_path, write_csv
from tsn.names import name_problem, shown
from tsn.sources.folder import SourceError, SourceMissingError
from tsn.streams.contents import VideoError, open_container, video_stream
from tsn.streams.encode import write_h264
from tsn.streams.limits import Limits
from tsn.streams.video import SOUGHT_CONTAINERS, initialise_worker, turned_pixels, unexpected
from tsn.untrimmed.annotations import AnnotatedVideo, Annotation, files_by_video
from tsn.workers.pool import Died, run_tasks
from tsn.workers.watchdog import watched

CLIPS = "clips.csv"
COLUMNS = ("path", "label", "group", "split")
TEXTS = (".srt", ".vtt", ".ass", ".description", ".json", ".xml", ".txt", ".nfo")
STILLS = (".jpg", ".jpeg", ".png", ".webp")
COMPANIONS = (*TEXTS, *STILLS, ".part", ".ytdl")  # which downloaders put beside a video


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Seconds of a video file that show a class, to be `path` below a folder; `side` of a split."""

    video: str
    file: Path
    label: str
    path: str
    start: float
    end: float
    side: str

    def __str__(self) -> str:
        return f"{self.file} from {self.start:g} to {self.end:g} s"


def annotated_clips(
    folder: Path, videos: Mapping[str, AnnotatedVideo], sides: Mapping[str, str]
) -> tuple[list[Clip], list[str]]:
    """Return the clips of the videos that are there, and the ids of those that are not.

    folder: with `<id>.<ending>` or `v_<id>.<ending>`, however deep; subtitles and other companions
    of a video are passed over. sides: train or test, by subset. SourceError for a subset that no
    video is of, for two files of one video, and where no clip is found.
    """
    sides = {subset.lower(): side for subset, side in sides.items()}
    subsets = {video.subset for video in videos.values()}
    if missing := sides.keys() - subsets:
        raise SourceError(
            f"the annotations have no subset {', '.join(sorted(missing))}; they have "
            f"{', '.join(sorted(subsets))}"
        )
    wanted = {v: row for v, row in videos.items() if row.subset in sides and row.annotations}
    files = _files(folder, wanted)
    clips = [
        _clip(video, number, one, files[video], sides[row.subset])
        for video, row in sorted(wanted.items())
        if video in files
        for number, one in enumerate(row.annotations, 1)
    ]
    if not clips:
        raise SourceError(f"{folder}: none of the {len(wanted)} videos that have annotations")
    return clips, sorted(wanted.keys() - files.keys())


def cut_clips(
    clips: Sequence[Clip], out: Path, workers: int, limits: Limits
) -> Iterator[tuple[Clip, str]]:
    """Cut each clip that is not in `out` yet, and yield it with why it cannot be made, if so."""
    done = [clip for clip in clips if (out / clip.path).is_file()]
    yield from ((clip, "") for clip in done)
    left = [clip for clip in clips if not (out / clip.path).is_file()]
    begin = partial(initialise_worker, limits.gigabytes)
    cut = partial(_cut, out=out, limits=limits)
    for clip, answer in run_tasks(cut, left, ["cpu"] * max(workers, 1), begin):
        died = isinstance(answer, Died)
        yield clip, f"the process that read it {answer}" if died else str(answer)


def write_clip_list(clips: Sequence[Clip], out: Path) -> Path:
    """Write the list of the clips that were made, and return its path."""
    path = out / CLIPS
    rows = [(clip.path, clip.label, clip.video, clip.side) for clip in clips]
    write_csv(path, COLUMNS, sorted(rows))
    return path


def _files(folder: Path, videos: Mapping[str, AnnotatedVideo]) -> dict[str, Path]:
    """Return the files of the videos that are there, by id; SourceError for two of one video."""
    if not folder.is_dir():
        raise SourceMissingError(f"{folder}: no such folder; put or link the videos there")
    return files_by_video(
        (
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() not in COMPANIONS and path.is_file()
        ),
        videos,
    )


def _clip(video: str, number: int, row: Annotation, file: Path, side: str) -> Clip:
    name = f"{video}_{number:03}_{row.start:g}-{row.end:g}.mp4"  # other times are another clip
    if problem := name_problem(name):
        raise SourceError(f"{shown(name)}: {problem}")
    return Clip(
        video=video,
        file=file,
        label=row.label,
        path=f"{row.label}/{name}",
        start=row.start,
        end=row.end,
        side=side,
    )


def _cut(clip: Clip, _device: str, out: Path, limits: Limits) -> str:
    """Make a clip and return nothing, or why it cannot be made."""
    try:
        with open_container(clip.file) as container, atomic_path(out / clip.path) as temporary:
            stream = video_stream(clip.file, container)
            if stream.width * stream.height > limits.pixels:
                text = f"{stream.width}x{stream.height} pixels; at most {limits.pixels} are read"
                raise VideoError(clip.file, text)
            stream.codec_context.thread_count = 1
            frames = watched(
                _frames_between(container, stream, clip), limits.seconds_per_frame, limits.seconds
            )
            _encode(frames, stream.average_rate or stream.guessed_rate, temporary)
    except VideoError as error:
        return error.reason
    except FFmpegError as error:
        return f"damaged there: {error.strerror}"
    except _NoFrameError:
        return "the video has no frame there"
    except OSError:
        raise
    except Exception as error:
        return unexpected(error)
    return ""


class _NoFrameError(Exception):
    """A clip that would be empty."""


def _frames_between(container: Any, stream: Any, clip: Clip) -> Iterator[Any]:
    """Yield the decoded frames from `start` until before `end`, by the times that they have."""
    first = stream.start_time or 0
    if container.format.name.startswith(SOUGHT_CONTAINERS):  # in others it may go too far
        container.seek(first + int(clip.start / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        stamp = frame.pts if frame.pts is not None else frame.dts
        second = float((stamp - first) * stream.time_base)
        if second >= clip.end:
            return
        if second >= clip.start:
            yield frame


def _encode(frames: Iterator[Any], rate: Any, path: Path) -> None:
    pixels = map(turned_pixels, frames)
    first = next(pixels, None)
    if first is None:
        raise _NoFrameError
    write_h264(chain([first], pixels), rate, path)
