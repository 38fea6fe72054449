"""look: videos as the networks see them: frame, RGB difference, flow and warped flow side by side.

Draws the paper's Figure 2 with the settings of a recipe, and says what was measured: a few moments
of one video file, or one moment of a few videos of a folder. As a stage it does so for the dataset;
the report shows the picture and the run of the dataset's mean holds it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, input_path, option, output_path
from tsn.drawing.modality_sheet import Moment, modality_sheet
from tsn.files import atomic_path
from tsn.flow.camera_motion import take_out_camera_motion, view_of
from tsn.flow.engines import FlowEngine, Frame, create_engine, to_gray
from tsn.sources.folder import folder_videos
from tsn.streams.table import WarpedFlowConfig
from tsn.streams.video import VideoError, quiet_decoding, read_frames
from tsn.workers.pool import Died, run_tasks
from tsn.workers.watchdog import watched


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("extract",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    videos: Path = input_path("a video file, or a folder of <class>/<clip>")
    rows: int = option("moments, or videos", default=4, choices=range(1, 33), metavar="1..32")
    out: Path = output_path("the picture, a PNG")


def main(options: Options) -> None:
    recipe = params.load_recipe(options.dataset)
    config = params.section(recipe, "extract.warped_flow", WarpedFlowConfig)
    worker_code = Path("tsn").glob("tvl1*.py")  # which this process does not import
    with provenance.unchanged(options, worker_code):
        moments = list(moments_of(options.videos, config, options.rows))
        if not moments:
            raise ValueError(f"{options.videos}: no video with two frames that can be read")
        picture = cv2.imencode(".png", modality_sheet(moments, config.bound))[1]
        with atomic_path(options.out) as temporary:
            temporary.write_bytes(picture.tobytes())
    for moment in moments:
        print(describe(moment, config))
    print(f"look: {options.out}")


@dataclass(frozen=True)
class Glance:
    """What a worker is to look at: some moments of a video, evenly spread, or its liveliest."""

    video: Path
    config: WarpedFlowConfig
    moments: int
    title: str


def moments_of(videos: Path, config: WarpedFlowConfig, rows: int) -> Iterator[Moment]:
    """Up to `rows` moments evenly over a video, or lively ones of as many of a folder's.

    Videos are read in a process of its own, which one that crashes the decoder may take along.
    """
    if videos.is_file():
        yield from (m for _, seen in glances([Glance(videos, config, rows, "frame")]) for m in seen)
        return
    names = folder_videos(videos)
    waiting = [names[index] for index in evenly(len(names), rows)]
    waiting += [name for name in names if name not in waiting]  # in place of unreadable ones
    found: dict[str, Moment] = {}
    while waiting and len(found) < rows:
        some, waiting = waiting[: rows - len(found)], waiting[rows - len(found) :]
        tasks = [Glance(videos / name, config, 1, str(Path(name).parent)) for name in some]
        found |= {str(glance.video): m for glance, seen in glances(tasks) for m in seen}
    yield from (found[name] for name in sorted(found))


def glances(tasks: Sequence[Glance]) -> Iterator[tuple[Glance, list[Moment]]]:
    """The moments of each task's video; a line on those that cannot be read."""
    for task, answer in run_tasks(look_at, tasks, ["cpu"], quiet_decoding):
        if isinstance(answer, list):
            yield task, answer
        else:
            why = f"{task.video}: the process that read it {answer}"
            print(f"left out: {why if isinstance(answer, Died) else answer}")


def look_at(task: Glance, device: str) -> list[Moment] | str:
    """The moments, or why there are none."""
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
    engine = create_engine(config.engine, device)
    return [
        moment(f"{task.title} {index + 1}", *pair, engine, config)
        for index, pair in enumerate(pairwise(frames()))
        if index in chosen
    ]


def evenly(length: int, count: int) -> list[int]:
    """Up to `count` different indices below `length`, evenly spread and away from its ends."""
    return sorted({(2 * i + 1) * length // (2 * count) for i in range(count)})


def moment(
    title: str, frame0: Frame, frame1: Frame, engine: FlowEngine, config: WarpedFlowConfig
) -> Moment:
    """A pair of frames with its flow and its warped flow."""
    gray0, gray1 = to_gray(frame0), to_gray(frame1)
    steady1, supported = take_out_camera_motion(view_of(gray0), view_of(gray1), config.homography)
    flow, warped = (engine.compute(gray0[None], after[None])[0] for after in (gray1, steady1))
    return Moment(
        title=title, frame0=frame0, frame1=frame1, flow=flow, warped=warped, supported=supported
    )


def describe(moment: Moment, config: WarpedFlowConfig) -> str:
    """A line about one moment."""
    lengths = np.linalg.norm(moment.flow, axis=2)
    clipped = (np.abs(moment.flow) > config.bound).any(axis=2).mean()
    warped = np.linalg.norm(moment.warped, axis=2).mean()
    return (
        f"{moment.title}: flow {lengths.mean():.2f} pixels in the mean, "
        f"{lengths.max():.1f} at most, {clipped:.1%} beyond the bound; "
        + (f"warped flow {warped:.2f}" if moment.supported else "no camera motion found")
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
