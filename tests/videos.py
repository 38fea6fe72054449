"""Small videos of known content, and the checksums of a folder of them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from tsn.sources.folder import checksum_rows
from tsn.streams.video import Frame

PAN_WIDTH, PAN_HEIGHT = 48, 36


def write_video(path: Path, frames: Sequence[Frame], codec: str = "MJPG") -> Path:
    """Write `frames` at 25 a second, make the folder, and return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25.0, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def texture(width: int, height: int, seed: int = 3, darkest: int = 0) -> Frame:
    """Return blurred noise of values from `darkest` to 255."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(cv2.normalize(blurred, None, darkest, 255, cv2.NORM_MINMAX), dtype=np.uint8)


def write_pan(path: Path, num_frames: int, dx: int = 0, brightness: int = 0) -> Path:
    """Write a video of a texture that moves by `dx` pixels a frame."""
    scene = texture(PAN_WIDTH + 80, PAN_HEIGHT, seed=brightness, darkest=brightness)
    starts = [40 - dx * index for index in range(num_frames)]
    return write_video(
        path, [np.ascontiguousarray(scene[:, start : start + PAN_WIDTH]) for start in starts]
    )


def write_wandering(path: Path, num_frames: int, seed: int = 1, codec: str = "MJPG") -> Path:
    """Write a video of a camera that wanders over a texture, 80x60 pixels."""
    scene = texture(140, 100, seed)
    frames = []
    for index in range(num_frames):
        x, y = (int(20 + 20 * wave(index * 0.11 * seed)) for wave in (np.sin, np.cos))
        frames.append(np.ascontiguousarray(scene[y : y + 60, x : x + 80]))
    return write_video(path, frames, codec)


def vivid_frames(count: int, width: int, height: int) -> list[Frame]:
    """Return frames of large light and dark spots, none like another."""
    rng = np.random.default_rng(5)
    frames = []
    for _ in range(count):
        spots = cv2.resize(rng.random((4, 5)), (width, height), interpolation=cv2.INTER_CUBIC)
        gray = cv2.normalize(spots, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        frames.append(np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), dtype=np.uint8))
    return frames


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 by video id of all files below `folder`."""
    videos = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    return {video: digest for video, _, digest in checksum_rows(folder, videos)}
