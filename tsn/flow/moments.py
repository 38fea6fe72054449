"""Two neighbouring frames of a video, and what moves between them."""

from dataclasses import dataclass

import numpy as np

from tsn.flow.camera_motion import GrayFrame, HomographyConfig, take_out_camera_motion
from tsn.flow.engines import Flow, FlowEngine, Frame, to_gray


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Two frames, the flow between them, and the flow after the camera's motion was taken out.

    flow, warped: None where a recipe has none. supported: whether the camera's motion was found.
    """

    title: str
    frame0: Frame
    frame1: Frame
    flow: Flow | None
    warped: Flow | None
    supported: bool


def make_moment(
    title: str,
    frame0: Frame,
    frame1: Frame,
    engine: FlowEngine | None,
    homography: HomographyConfig | None,
) -> Moment:
    """Return a pair of frames with its flow by `engine`, and its warped flow by `homography`."""
    flow, warped, supported = None, None, False
    if engine is not None:
        gray0, gray1 = to_gray(frame0), to_gray(frame1)
        flow = engine.compute(gray0[None], gray1[None])[0]
        if homography is not None:
            pair = GrayFrame(gray0), GrayFrame(gray1)
            steady1, supported = take_out_camera_motion(*pair, homography)
            warped = engine.compute(gray0[None], steady1[None])[0]
    return Moment(
        title=title, frame0=frame0, frame1=frame1, flow=flow, warped=warped, supported=supported
    )


def describe(moment: Moment, bound: float) -> str:
    """Say in a line how far things move, in pixels, and what is clipped at `bound`."""
    if moment.flow is None:
        return moment.title
    lengths = np.linalg.norm(moment.flow, axis=2)
    clipped = (np.abs(moment.flow) > bound).any(axis=2).mean()
    text = (
        f"{moment.title}: flow {lengths.mean():.2f} pixels in the mean, "
        f"{lengths.max():.1f} at most, {clipped:.1%} beyond the bound"
    )
    if moment.warped is None:
        return text
    warped = np.linalg.norm(moment.warped, axis=2).mean()
    return f"{text}; " + (
        f"warped flow {warped:.2f}" if moment.supported else "no camera motion found"
    )
