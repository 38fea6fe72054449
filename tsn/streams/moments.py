"""A few moments of videos, as the networks see them: of one video, or one of each of several."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from tsn.flow.engines import Frame, create_engine
from tsn.flow.moments import Moment, make_moment
from tsn.streams.table import FlowConfig, FramesConfig, WarpedFlowConfig
from tsn.streams.video import VideoError, quiet_decoding, read_frames
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


def moments_of_video(video: Path, config: FramesConfig, count: int) -> list[Moment]:
    """Return up to `count` moments, evenly over a video; none of one that cannot be read."""
    return [m for _, found in _look([_Task(video, config, count, "frame")]) for m in found]


def moments_of_folder(
    folder: Path, videos: Sequence[str], config: FramesConfig, count: int
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
        found |= {str(task.video): moment for task, seen in _look(tasks) for moment in seen}
    return [found[video] for video in sorted(found)]


def evenly(length: int, count: int) -> list[int]:
    """Return up to `count` indices below `length`, evenly spread and away from its ends."""
    return sorted({(2 * i + 1) * length // (2 * count) for i in range(count)})


def _look(tasks: Sequence[_Task]) -> Iterator[tuple[_Task, list[Moment]]]:
    """Yield the moments of each video, read in a process that one may take along as it dies."""
    for task, answer in run_tasks(_moments, tasks, ["cpu"], quiet_decoding):
        if isinstance(answer, list):
            yield task, answer
        else:
            why = f"{task.video}: the process that read it {answer}"
            logger.warning("left out: %s", why if isinstance(answer, Died) else answer)


def _moments(task: _Task, device: str) -> list[Moment] | str:
    """Return the moments, or why there are none."""
    config = task.config

    def frames() -> Iterator[Frame]:
        return watched(read_frames(task.video, config.width, config.height))

    try:
        changes = [cv2.norm(*pair, cv2.NORM_L1) for pair in pairwise(frames())]
        if not changes:
            raise VideoError(task.video, "one frame has no flow")
    except VideoError as error:
        return str(error)
    # The liveliest tenth can be cuts.
    lively = [int(np.argsort(changes)[len(changes) * 9 // 10])]
    chosen = lively if task.moments == 1 else evenly(len(changes), task.moments)
    engine = create_engine(config.engine, device) if isinstance(config, FlowConfig) else None
    homography = config.homography if isinstance(config, WarpedFlowConfig) else None
    return [
        make_moment(f"{task.title} {index + 1}", *pair, engine, homography)
        for index, pair in enumerate(pairwise(frames()))
        if index in chosen
    ]
