"""Pairs of frames whose optical flow is known, and how far a flow is from it."""

import cv2
import numpy as np
import numpy.typing as npt
from videos import texture

from tsn.streams.video import Frame

Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]


def panned_pair(dx: int, dy: int) -> tuple[Frame, Frame]:
    """Return two 96x72 views of one texture; every point moves by (dx, dy)."""
    scene = texture(140, 120)
    return scene[20:92, 20:116].copy(), scene[20 - dy : 92 - dy, 20 - dx : 116 - dx].copy()


def waving_pair(amplitude: float) -> tuple[Gray, Gray, Flow]:
    """Return two 160x120 views of a texture, under a smooth flow of up to `amplitude` pixels."""
    rng = np.random.default_rng(7)
    noise = rng.random((160, 200)).astype(np.float32)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)
    y, x = np.mgrid[20:140, 20:180].astype(np.float32)
    flow = np.stack([np.sin(y / 19 + 1), np.cos(x / 23)], axis=2) * np.float32(amplitude)
    first = cv2.remap(scene, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LANCZOS4)
    images = (first, scene[20:140, 20:180])
    gray0, gray1 = (np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in images)
    return gray0, gray1, flow


def shifted_pair(dx: int, dy: int, blur: float) -> tuple[Gray, Gray]:
    """Return two 160x120 views of noise that is smoothed by `blur` pixels and moves by (dx, dy)."""
    noise = np.random.default_rng(7).random((160, 200)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur) if blur else noise
    scene = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return scene[20:140, 20:180].copy(), scene[20 - dy : 140 - dy, 20 - dx : 180 - dx].copy()


def recovered_share(flow: Flow, dx: int, dy: int) -> float:
    """Return the mean flow along the shift (dx, dy) as a share of it, where no point has left."""
    margin = max(abs(dx), abs(dy))
    mean = flow[margin:-margin, margin:-margin].mean(axis=(0, 1), dtype=np.float64)
    return float((mean[0] * dx + mean[1] * dy) / (dx * dx + dy * dy))


def mean_endpoint_error(flow: Flow, truth: Flow) -> float:
    """Return the mean distance of two flows, in pixels."""
    return float(np.linalg.norm(flow - truth, axis=2).mean())
