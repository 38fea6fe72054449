"""Videos, streams and folders of JPEGs for the benchmarks of loading, training and scoring."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsn.modality import Modality
from tsn.snippets.dataset import Clip
from tsn.streams.archives import archive_path, write_archive

Frames = npt.NDArray[np.uint8]
QUALITY = {"frames": 95, "flow": 90, "warped_flow": 90}  # as the recipes have it


def make_entries(stream: str, count: int, width: int, height: int, seed: int) -> Frames:
    """Return (T, H, W, C) entries of a stream: a textured picture, or smooth flow, that moves."""
    generator = np.random.default_rng(seed)
    channels, blur = (3, 2.0) if stream == "frames" else (2, 12.0)
    noise = generator.normal(0, 1, (height + count, width + count, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    picture = 128 + smooth / smooth.std() * (45 if channels == 3 else 12)
    if channels == 3:
        picture += generator.normal(0, 4, picture.shape)  # a camera's
    values = np.clip(picture, 0, 255).astype(np.uint8)
    return np.stack([values[t : t + height, t : t + width] for t in range(count)])


def make_clips(
    folder: Path, modality: Modality, number: int, count: int, width: int, height: int
) -> list[Clip]:
    """Write the archives of so many videos of `count` entries, and return them as clips."""
    clips = []
    for index in range(number):
        entries = make_entries(modality.stream, count, width, height, seed=index)
        path = archive_path(folder, f"{index}.avi")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(path, entries, QUALITY[modality.stream])
        clips.append(Clip(f"{index}.avi", index % 10, count, path, str(index)))
    return clips


def write_folder(folder: Path, entries: Frames, quality: int) -> None:
    """Write entries as the public ports keep them: a JPEG for each frame, or flow's x and y."""
    folder.mkdir(parents=True)
    for number, entry in enumerate(entries, start=1):
        for name, image in named_images(number, entry):
            cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def named_images(number: int, entry: Frames) -> Iterator[tuple[str, Frames]]:
    """Yield the names and images of an entry."""
    if entry.shape[2] == 3:
        yield f"img_{number:05d}.jpg", entry
    else:
        for channel, axis in enumerate("xy"):
            yield f"flow_{axis}_{number:05d}.jpg", np.ascontiguousarray(entry[..., channel])


def write_video(path: Path, frames: Frames) -> None:
    """Write frames as MPEG-4, a keyframe every dozen, as UCF101's videos are."""
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"XVID"), 25.0, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
