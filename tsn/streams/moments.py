"""A few moments of videos, as the networks see them: of one video, or one of each of several."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from tsn.flow.engines import Frame, create_engine
from tsn.flow.moments import Moment, make_moment
from tsn.streams.contents import VideoError
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.table import FlowConfig, FramesConfig, WarpedFlowConfig
from tsn.streams.video import (
    FrameReader,
    initialise_worker,
    read_video,
    resize_frames,
    unexpected,
)
from tsn.workers.pool import Died, run_tasks
from tsn.workers.watchdog import watched

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """Some moments of a video, evenly spread, or its liveliest."""

    video: Path
    config: FramesConfig
    moments: int
    title: str


def moments_of_video(
    video: Path, config: FramesConfig, count: int, limits: Limits = DEFAULT_LIMITS
) -> list[Moment]:
    """Return up to `count` moments, evenly over a video; none of one that cannot be read."""
    return [m for _, found in _look([_Task(video, config, count, "frame")], limits) for m in found]


def moments_of_folder(
    folder: Path,
    videos: Sequence[str],
    config: FramesConfig,
    count: int,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Moment]:
    """Return a lively moment of each of `count` of the videos below a folder, evenly over them.

    Others stand in for those that cannot be read, of which a warning tells.
    """
    waiting = [videos[index] for index in evenly(len(videos), count)]
    waiting += [video for video in videos if video not in waiting]
    found: dict[str, Moment] = {}
    while waiting and len(found) < count:
        some, waiting = waiting[: count - len(found)], waiting[count - len(found) :]
        tasks = [_Task(folder / video, config, 1, str(Path(video).parent)) for video in some]
        found |= {str(task.video): moment for task, seen in _look(tasks, limits) for moment in seen}
    return [found[video] for video in sorted(found)]


def evenly(length: int, count: int) -> list[int]:
    """Return up to `count` indices below `length`, evenly spread and away from its ends."""
    return sorted({(2 * i + 1) * length // (2 * count) for i in range(count)})


def _look(tasks: Sequence[_Task], limits: Limits) -> Iterator[tuple[_Task, list[Moment]]]:
    """Yield the moments of each video, read in a process that one may take along as it dies."""
    look = partial(_moments, limits=limits)
    begin = partial(initialise_worker, limits.gigabytes)
    for task, answer in run_tasks(look, tasks, ["cpu"], begin):
        if isinstance(answer, list):
            yield task, answer
        else:
            why = f"{task.video}: the process that read it {answer}"
            logger.warning("left out: %s", why if isinstance(answer, Died) else answer)


def _moments(task: _Task, device: str, limits: Limits) -> list[Moment] | str:
    """Return the moments, or why there are none."""
    try:
        read = partial(_read, task=task, device=device, limits=limits)
        return read_video(task.video, read, limits)
    except VideoError as error:
        return str(error)
    except OSError:
        raise
    except Exception as error:
        return f"{task.video}: {unexpected(error)}"


def _read(reader: FrameReader, task: _Task, device: str, limits: Limits) -> list[Moment]:
    config = task.config

    def frames(reader: FrameReader) -> Iterator[Frame]:
        frames = resize_frames(reader, config.width, config.height)
        return watched(frames, limits.seconds_per_frame, limits.seconds)

    changes = [cv2.norm(*pair, cv2.NORM_L1) for pair in pairwise(frames(reader))]
    if not changes:
        raise VideoError(task.video, "one frame has no flow")
    # The liveliest tenth can be cuts.
    lively = [int(np.argsort(changes)[len(changes) * 9 // 10])]
    chosen = lively if task.moments == 1 else evenly(len(changes), task.moments)
    again = FrameReader(task.video, limits, decoder=reader.decoder)
    engine = create_engine(config.engine, device) if isinstance(config, FlowConfig) else None
    homography = config.homography if isinstance(config, WarpedFlowConfig) else None
    return [
        make_moment(f"{task.title} {index + 1}", *pair, engine, homography)
        for index, pair in enumerate(pairwise(frames(again)))
        if index in chosen
    ]
