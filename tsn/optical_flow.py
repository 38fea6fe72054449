"""Optical flow, its 8-bit form, and flow without camera motion ("warped flow").

TV-L1 on gray frames; a value v in pixels is stored as round(255 (v + bound) / (2 bound)), so that
128 is zero. Warped flow (section 3.1, after improved dense trajectories): a homography between the
frames models the camera, the second frame is warped back by it, and TV-L1 sees what still moves.

Layout: frames (H, W, 3) uint8 BGR, gray (H, W) uint8, flow (H, W, 2) float32, x then y, in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]
Homography = npt.NDArray[np.float64]
FlowEngine = Callable[[Gray, Gray], Flow]

_MATCH_RATIO = 0.75  # Lowe's: the best match against the second best
_CORNER_QUALITY = 0.001
_CORNER_DISTANCE = 5.0
_MAX_ROUND_TRIP = 0.5  # pixels a corner may miss its start by, tracked there and back


@dataclass(frozen=True, kw_only=True)
class HomographyConfig:
    """When camera motion counts as found: more than `min_matches` points, `min_inliers` of them
    within `reprojection_threshold` pixels of one homography. The paper: 50, 25 and 1."""

    max_corners: int
    reprojection_threshold: float
    min_matches: int
    min_inliers: int

    def __post_init__(self) -> None:
        if self.max_corners < 1:
            raise ValueError(f"max_corners is {self.max_corners}, expected at least 1")
        if self.reprojection_threshold <= 0:
            raise ValueError(
                f"reprojection_threshold is {self.reprojection_threshold}, expected above 0 pixels"
            )
        if self.min_matches < 4:
            raise ValueError(f"min_matches is {self.min_matches}, a homography takes 4 or more")
        if not 4 <= self.min_inliers <= self.min_matches:
            raise ValueError(
                f"min_inliers is {self.min_inliers}, expected 4 to min_matches ({self.min_matches})"
            )


def opencv_tvl1() -> FlowEngine:
    """OpenCV's DualTVL1 at its defaults: the reference."""
    algorithm = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]

    def flow(gray0: Gray, gray1: Gray) -> Flow:
        return np.asarray(algorithm.calc(gray0, gray1, None), dtype=np.float32)

    return flow


def opencv_dis() -> FlowEngine:
    """OpenCV's dense inverse search: for a quick look, a hundred times faster and less exact.

    The paper's networks want TV-L1; other algorithms cost points.
    """
    algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]

    def flow(gray0: Gray, gray1: Gray) -> Flow:
        return np.asarray(algorithm.calc(gray0, gray1, None), dtype=np.float32)

    return flow


FLOW_ENGINES: dict[str, Callable[[], FlowEngine]] = {"opencv": opencv_tvl1, "dis": opencv_dis}


def create_engine(name: str) -> FlowEngine:
    """Return a new engine of that name; it may keep buffers, so one per thread."""
    if name not in FLOW_ENGINES:
        raise ValueError(f"unknown flow engine {name!r}; valid: {', '.join(sorted(FLOW_ENGINES))}")
    return FLOW_ENGINES[name]()


def to_gray(frame: Frame) -> Gray:
    """Return the (H, W) luma of a BGR frame."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def flow_to_uint8(flow: Flow, bound: float) -> npt.NDArray[np.uint8]:
    """Quantise pixels in [-bound, bound] to 0..255, clipping beyond; 0 becomes 128."""
    scaled = (flow.astype(np.float64) + bound) * (255.0 / (2.0 * bound))
    return np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)


def uint8_to_flow(quantised: npt.NDArray[np.uint8], bound: float) -> Flow:
    """Return the pixels that quantised values stand for, within bound / 255 of the original.

    The scale has no exact zero: 128 stands for bound / 255.
    """
    return (quantised * (2.0 * bound / 255.0) - bound).astype(np.float32)


def warped_flow(
    frame0: Frame, frame1: Frame, engine: FlowEngine, config: HomographyConfig
) -> tuple[Flow, bool]:
    """Return the flow left after camera motion is taken out, and whether it could be.

    Without a supported homography the flow is the plain one and the second value False. Where the
    warped second frame shows nothing, the first one is repeated: no flow there.
    """
    gray0, gray1 = to_gray(frame0), to_gray(frame1)
    homography = estimate_homography(gray0, gray1, config)
    if homography is None:
        return engine(gray0, gray1), False
    return engine(gray0, _warp_back(gray0, gray1, homography)), True


def estimate_homography(gray0: Gray, gray1: Gray, config: HomographyConfig) -> Homography | None:
    """Return the (3, 3) homography that takes points of `gray0` to `gray1`, or None.

    RANSAC over feature matches and tracked corners. SIFT stands for the paper's SURF, which is
    patented, and Lucas-Kanade tracks the corners. The same frames give the same bits.
    """
    matches0, matches1 = _match_features(gray0, gray1)
    corners0, corners1 = _track_corners(gray0, gray1, config.max_corners)
    points0, points1 = np.vstack([matches0, corners0]), np.vstack([matches1, corners1])
    if len(points0) <= config.min_matches:
        return None
    homography, inliers = cv2.findHomography(
        points0, points1, cv2.RANSAC, config.reprojection_threshold
    )
    if homography is None or int(inliers.sum()) <= config.min_inliers:
        return None
    if np.linalg.det(homography) <= 0:  # a mirrored or collapsed view: no camera does that
        return None
    return np.asarray(homography, dtype=np.float64)


def _warp_back(gray0: Gray, gray1: Gray, homography: Homography) -> Gray:
    height, width = gray0.shape
    warped = cv2.warpPerspective(
        gray1,
        homography,
        (width, height),
        dst=gray0.copy(),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    return np.asarray(warped, dtype=np.uint8)


def _match_features(gray0: Gray, gray1: Gray) -> tuple[Points, Points]:
    detector = cv2.SIFT_create()  # type: ignore[attr-defined]
    keypoints0, descriptors0 = detector.detectAndCompute(gray0, None)
    keypoints1, descriptors1 = detector.detectAndCompute(gray1, None)
    if len(keypoints0) == 0 or len(keypoints1) < 2:
        return _no_points(), _no_points()
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors0, descriptors1, k=2)
    good = [first for first, second in pairs if first.distance < _MATCH_RATIO * second.distance]
    points0 = [keypoints0[match.queryIdx].pt for match in good]
    points1 = [keypoints1[match.trainIdx].pt for match in good]
    return _as_points(points0), _as_points(points1)


def _track_corners(gray0: Gray, gray1: Gray, max_corners: int) -> tuple[Points, Points]:
    corners = cv2.goodFeaturesToTrack(gray0, max_corners, _CORNER_QUALITY, _CORNER_DISTANCE)
    if corners is None:
        return _no_points(), _no_points()
    there, found_there, _ = cv2.calcOpticalFlowPyrLK(gray0, gray1, corners, None)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(gray1, gray0, there, None)
    miss = np.linalg.norm((back - corners).reshape(-1, 2), axis=1)
    kept = (found_there.ravel() == 1) & (found_back.ravel() == 1) & (miss < _MAX_ROUND_TRIP)
    return _as_points(corners)[kept], _as_points(there)[kept]


def _as_points(points: object) -> Points:
    return np.asarray(points, dtype=np.float32).reshape(-1, 2)


def _no_points() -> Points:
    return np.empty((0, 2), dtype=np.float32)
