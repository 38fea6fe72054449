"""look: videos as the networks see them: frame, RGB difference, flow and warped flow side by side.

Draws the paper's Figure 2 with the settings of a recipe, and says what was measured: a few moments
of one video file, or one moment of a few videos of a folder. As a stage it does so for the dataset;
the report shows the picture and the run of the dataset's mean holds it.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from stages import command, params, provenance
from tsn.atomic import atomic_path
from tsn.camera_motion import take_out_camera_motion, view_of
from tsn.flow_pictures import Moment, modality_sheet
from tsn.folder import folder_videos
from tsn.optical_flow import FlowEngine, Frame, create_engine, to_gray
from tsn.streams import WarpedFlowConfig
from tsn.video import VideoError, read_frames


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.extract.warped_flow"
    config = params.section(params.load(), section, WarpedFlowConfig)
    engine = create_engine(config.engine, "cpu")
    with provenance.unchanged([section], [args.videos]):
        moments = list(moments_of(args.videos, engine, config, args.rows))
        if not moments:
            raise ValueError(f"{args.videos}: no video with two frames that can be read")
        picture = cv2.imencode(".png", modality_sheet(moments, config.bound))[1]
        with atomic_path(args.out) as temporary:
            temporary.write_bytes(picture.tobytes())
    for moment in moments:
        print(describe(moment, config))
    print(f"look: {args.out}")


def moments_of(
    videos: Path, engine: FlowEngine, config: WarpedFlowConfig, rows: int
) -> Iterator[Moment]:
    """Up to `rows` moments evenly over a video, or lively ones of as many of a folder's."""
    if videos.is_file():
        pairs = frame_pairs(videos, config)
        for index in evenly(len(pairs), rows):
            yield moment(f"frame {index + 1}", *pairs[index], engine, config)
        return
    names = folder_videos(videos)
    for name in (names[index] for index in evenly(len(names), rows)):
        try:
            pairs = frame_pairs(videos / name, config)
        except VideoError as error:
            print(f"left out: {error}")
            continue
        index = lively(pairs)
        yield moment(f"{Path(name).parent} {index + 1}", *pairs[index], engine, config)


def frame_pairs(video: Path, config: WarpedFlowConfig) -> list[tuple[Frame, Frame]]:
    """The pairs of neighbouring frames of a video, at the size of the recipe."""
    pairs = list(pairwise(read_frames(video, config.width, config.height)))
    if not pairs:
        raise VideoError(video, "one frame has no flow")
    return pairs


def lively(pairs: list[tuple[Frame, Frame]]) -> int:
    """The index of a pair with more change than nine tenths of them; more can be a cut."""
    changes = [cv2.norm(before, after, cv2.NORM_L1) for before, after in pairs]
    return int(np.argsort(changes)[len(pairs) * 9 // 10])


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
    parser = argparse.ArgumentParser(prog="look", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument(
        "--videos", required=True, type=Path, help="a video file, or a folder of <class>/<clip>"
    )
    parser.add_argument("--rows", type=int, default=4, help="moments, or videos (default 4)")
    parser.add_argument("--out", required=True, type=Path, help="out: the picture, a PNG")
    command.run(parser, main)
