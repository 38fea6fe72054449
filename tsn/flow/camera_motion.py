"""Camera motion, found and taken out (section 3.1 of the paper, after improved dense trajectories).

Corners are tracked between two frames, RANSAC finds the homography that most of them obey, and the
second frame is warped back by it: what still moves is not the camera's.

Layout: gray (H, W) uint8, points (N, 2) float32, x then y, in pixels.
"""

from dataclasses import dataclass
from threading import Lock
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Homography = npt.NDArray[np.float64]
Features = tuple[Points, npt.NDArray[np.float32]]

_MATCH_RATIO = 0.75  # Lowe's: the best match against the second best
_MAX_CORNERS = 1_000_000
_CORNER_QUALITY = 0.001
_CORNER_DISTANCE = 5.0
# A third of the time that OpenCV's defaults take.
_TRACKING: dict[str, Any] = {
    "winSize": (11, 11),
    "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03),
}
_ENOUGH_INLIERS = 0.4  # of the corners, for tracking alone to be believed
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
        if not 1 <= self.max_corners <= _MAX_CORNERS:
            raise ValueError(f"max_corners is {self.max_corners}, expected 1 to {_MAX_CORNERS}")
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


class GrayFrame:
    """A gray frame, and its SIFT features once they are asked for: a frame is in two pairs.

    SIFT stands for the paper's SURF, which is patented. Several threads may ask at once.
    """

    def __init__(self, gray: Gray) -> None:
        self.gray = gray
        self._features: Features | None = None
        self._lock = Lock()

    def features(self) -> Features:
        """Return where the features are (N, 2), and their descriptors (N, 128)."""
        with self._lock:
            if self._features is None:
                self._features = _find_features(self.gray)
            return self._features


def take_out_camera_motion(
    frame0: GrayFrame, frame1: GrayFrame, config: HomographyConfig
) -> tuple[Gray, bool]:
    """Return the second frame as seen by the camera of the first, and whether that could be done.

    Without a supported homography it is the frame itself and False. Where the warped frame shows
    nothing, the first one is repeated: no flow there.
    """
    homography = estimate_homography(frame0, frame1, config)
    if homography is None:
        return frame1.gray, False
    return _warp_back(frame0.gray, frame1.gray, homography), True


def estimate_homography(
    frame0: GrayFrame, frame1: GrayFrame, config: HomographyConfig
) -> Homography | None:
    """Return the (3, 3) homography that takes points of the first frame to the second, or None.

    RANSAC over corners that Lucas-Kanade tracks. Where too few of them agree, as after a jump that
    is too far for it, matches of SIFT features join them: they find jumps, at ten times the time.
    The same frames give the same bits.
    """
    corners = _corners(frame0.gray, config.max_corners)
    points0, points1 = _track(corners, frame0.gray, frame1.gray)
    homography, num_inliers = _fit(points0, points1, config)
    if num_inliers < _ENOUGH_INLIERS * len(corners):
        matches0, matches1 = _match_features(frame0, frame1)
        points0, points1 = np.vstack([matches0, points0]), np.vstack([matches1, points1])
        of_all, _ = _fit(points0, points1, config)
        return homography if of_all is None else of_all
    return homography


def _fit(
    points0: Points, points1: Points, config: HomographyConfig
) -> tuple[Homography | None, int]:
    """Return the homography that RANSAC finds and how many points obey it, or None and 0."""
    if len(points0) <= config.min_matches:
        return None, 0
    homography, inliers = cv2.findHomography(
        points0, points1, cv2.RANSAC, config.reprojection_threshold
    )
    if homography is None or int(inliers.sum()) <= config.min_inliers:
        return None, 0
    if np.linalg.det(homography) <= 0:  # a mirrored or collapsed view: no camera does that
        return None, 0
    return np.asarray(homography, dtype=np.float64), int(inliers.sum())


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


def _match_features(frame0: GrayFrame, frame1: GrayFrame) -> tuple[Points, Points]:
    (points0, descriptors0), (points1, descriptors1) = frame0.features(), frame1.features()
    if len(points0) == 0 or len(points1) < 2:
        return _no_points(), _no_points()
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    pairs = matcher.knnMatch(descriptors0, descriptors1, k=2)
    good = [first for first, second in pairs if first.distance < _MATCH_RATIO * second.distance]
    return points0[[match.queryIdx for match in good]], points1[[match.trainIdx for match in good]]


def _find_features(gray: Gray) -> Features:
    keypoints, descriptors = cv2.SIFT_create().detectAndCompute(gray, None)  # type: ignore[attr-defined]
    if descriptors is None:
        descriptors = np.empty((0, 128), dtype=np.float32)
    return _as_points([keypoint.pt for keypoint in keypoints]), descriptors


def _corners(gray: Gray, at_most: int) -> Points:
    corners = cv2.goodFeaturesToTrack(gray, at_most, _CORNER_QUALITY, _CORNER_DISTANCE)
    return _no_points() if corners is None else _as_points(corners)


def _track(corners: Points, gray0: Gray, gray1: Gray) -> tuple[Points, Points]:
    """Return those corners that Lucas-Kanade finds there and back, and where they are then."""
    if len(corners) == 0:
        return _no_points(), _no_points()
    there, found_there, _ = cv2.calcOpticalFlowPyrLK(gray0, gray1, corners, None, **_TRACKING)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(gray1, gray0, there, None, **_TRACKING)
    miss = np.linalg.norm(back - corners, axis=1)
    kept = (found_there.ravel() == 1) & (found_back.ravel() == 1) & (miss < _MAX_ROUND_TRIP)
    return corners[kept], _as_points(there)[kept]


def _as_points(points: object) -> Points:
    return np.asarray(points, dtype=np.float32).reshape(-1, 2)


def _no_points() -> Points:
    return np.empty((0, 2), dtype=np.float32)
