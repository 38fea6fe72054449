"""The built-in dataset: seeded, generated, really encoded video in the UCF101 layout.

One textured disc, the actor, moves in front of a textured ground, the backdrop, seen by a camera.
Four classes differ only in the colour of the ground, four only in the actor's motion, two only in
which of two states lasts longer over the whole clip; in a share of all clips the camera pans.

Everything a still frame shows (place, size, angle, brightness, texture) is drawn from the same
distribution for every class; a motion only says which of those coordinates advance with time.
Colours are offsets without luma, so that grey-level methods see the same ground in every class.
No distribution prefers left or right, so mirroring never changes a label.

Lengths are pixels of a frame whose shorter side is 120 and scale with the configured size.
Letters: T frames, H, W. Frames are BGR uint8, flow is float32 (dx, dy) in pixels.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsn.files import write_csv
from tsn.lists import TAGS
from tsn.sources.synthetic_motion import (
    ACTOR_RADIUS,
    BACKGROUND,
    CLASSES,
    CLIP_LOOK,
    CONCRETE,
    GROUP_LOOK,
    NUM_SPLITS,
    PAN_RANGE,
    ClipSpec,
    SyntheticConfig,
    clip_specs,
    generator,
    trajectory,
)

GROUND_LUMA = 105.0
GROUND_CONTRAST = 20.0
ACTOR_CONTRAST = 24.0
BRIGHTNESS_SPREAD = 12.0
TINT_SPREAD = 5.0
PIXEL_NOISE = 1.5
TEXTURE_OCTAVES = (1.2, 2.4, 4.8)
CODEC = "XVID"

_BGR_TO_LUMA = np.array([0.114, 0.587, 0.299], np.float32)


def render_clip(spec: ClipSpec, config: SyntheticConfig) -> npt.NDArray[np.uint8]:
    """Return the clip's frames, (T, H, W, 3) BGR; equal bytes for equal spec and config."""
    path = trajectory(spec, config)
    group_rng = generator(config, GROUP_LOOK, spec.group)
    rng = generator(config, CLIP_LOOK, spec.label, spec.group, spec.clip)
    size = (config.width, config.height)
    margin = math.ceil(PAN_RANGE * config.pixels_per_unit) + 2
    ground = _ground_texture(size, margin, config.pixels_per_unit, group_rng, rng)
    actor, disc, to_unit = _actor_texture(config.pixels_per_unit, group_rng)
    brightness = rng.uniform(-BRIGHTNESS_SPREAD, BRIGHTNESS_SPREAD)
    ground_colour = _chroma(CLASSES[spec.label].backdrop.colour) + _jitter(rng)
    actor_jitter = _jitter(rng)
    frames = np.empty((config.frames, config.height, config.width, 3), np.uint8)
    for t, phase in enumerate(path.phases):
        offset = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        offset[:, 2] = path.camera[t] - margin
        place = path.actor[t] @ to_unit
        alpha = cv2.warpAffine(disc, place, size)
        behind = cv2.warpAffine(ground, offset, size) + GROUND_LUMA
        front = cv2.warpAffine(actor, place, size) + phase.look.luma
        noise = rng.standard_normal(alpha.shape, dtype=np.float32)
        grey = behind + alpha * (front - behind) + PIXEL_NOISE * noise + brightness
        change = _chroma(phase.look.colour) + actor_jitter - ground_colour
        planes = grey + ground_colour[:, None, None] + alpha * change[:, None, None]
        frames[t] = np.rint(np.clip(planes, 0, 255)).transpose(1, 2, 0)
    return frames


def render_background(
    config: SyntheticConfig, number: int, frames: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield frames (H, W, 3) of a still camera on a ground of concrete where nobody acts.

    number: which of all such scenes.
    """
    rng = generator(config, BACKGROUND, number)
    texture = _texture(config.height, config.width, config.pixels_per_unit, rng)
    grey = (
        GROUND_LUMA + GROUND_CONTRAST * texture + rng.uniform(-BRIGHTNESS_SPREAD, BRIGHTNESS_SPREAD)
    )
    colour = _chroma(CONCRETE.colour) + _jitter(rng)
    for _ in range(frames):
        noise = PIXEL_NOISE * rng.standard_normal(grey.shape, dtype=np.float32)
        planes = (grey + noise)[..., None] + colour
        yield np.rint(np.clip(planes, 0, 255)).astype(np.uint8)


def true_flow(spec: ClipSpec, config: SyntheticConfig) -> npt.NDArray[np.float32]:
    """Return the exact forward flow, (T-1, H, W, 2) in pixels: where what a pixel shows goes.

    The disc carries the actor's motion, the rest the camera's, also where frame t+1 hides it or
    where the actor changes its look between two phases.
    """
    path = trajectory(spec, config)
    columns, rows = np.meshgrid(np.arange(config.width), np.arange(config.height))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).astype(np.float64)
    flow = np.empty((config.frames - 1, config.height, config.width, 2), np.float32)
    for t in range(config.frames - 1):
        on_disc = pixels @ _inverse(path.actor[t]).T
        moved = on_disc @ path.actor[t + 1][:, :2].T + path.actor[t + 1][:, 2]
        inside = np.sum(on_disc**2, axis=-1, keepdims=True) <= 1.0
        camera = path.camera[t + 1] - path.camera[t]
        flow[t] = np.where(inside, moved - pixels[..., :2], camera)
    return flow


def fetch_synthetic(
    config: SyntheticConfig, videos: Path, lists: Path, _report: object = None
) -> Iterator[str]:
    """Render the dataset, write its lists and yield each video id."""
    write_lists(config, lists)
    yield from write_clips(config, videos)


def write_clips(config: SyntheticConfig, videos_dir: Path) -> Iterator[str]:
    """Encode every clip to `videos_dir/<class>/<clip>`, yielding each video id once it is complete.

    Raises OSError where the encoder is missing or a file cannot be written.
    """
    for spec in clip_specs(config):
        path = videos_dir / spec.video
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(render_clip(spec, config), config, path)
        yield spec.video


def write_lists(config: SyntheticConfig, lists_dir: Path) -> None:
    """Write classInd.txt, trainlist01..03.txt and testlist01..03.txt in the format of UCF101, and
    tags.csv (video, tags joined by `;`). Split k tests the k-th third of the groups."""
    lists_dir.mkdir(parents=True, exist_ok=True)
    specs = clip_specs(config)
    classes = [f"{number} {action.name}" for number, action in enumerate(CLASSES, start=1)]
    _write_lines(lists_dir / "classInd.txt", classes)
    for split in range(1, NUM_SPLITS + 1):
        train = [f"{s.video} {s.label + 1}" for s in specs if _test_split(s, config) != split]
        test = [s.video for s in specs if _test_split(s, config) == split]
        _write_lines(lists_dir / f"trainlist{split:02d}.txt", train)
        _write_lines(lists_dir / f"testlist{split:02d}.txt", test)
    write_csv(lists_dir / TAGS, ("video", "tags"), ((s.video, ";".join(s.tags)) for s in specs))


def _test_split(spec: ClipSpec, config: SyntheticConfig) -> int:
    return (spec.group - 1) // (config.groups // NUM_SPLITS) + 1


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _inverse(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = np.linalg.inv(affine[:, :2])
    return np.concatenate([linear, -linear @ affine[:, 2:]], axis=1)


def _ground_texture(
    size: tuple[int, int],
    margin: int,
    unit: float,
    group_rng: np.random.Generator,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return a clip's window on its group's ground, `margin` larger than the frame all round."""
    height, width = size[1] + 2 * margin, size[0] + 2 * margin
    plane = _texture(height + 2 * margin, width + 2 * margin, unit, group_rng)
    top, left = rng.integers(0, 2 * margin, size=2)
    return GROUND_CONTRAST * plane[top : top + height, left : left + width]


def _actor_texture(
    unit: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return the actor's luma pattern, its soft-edged disc, their (3, 3) map to the unit disc."""
    radius = ACTOR_RADIUS * unit
    half = math.ceil(radius) + 3
    side = 2 * half + 1
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    to_unit = np.array([[1, 0, -half], [0, 1, -half], [0, 0, radius]]) / radius
    return ACTOR_CONTRAST * _texture(side, side, unit, rng), disc, to_unit


def _texture(
    height: int, width: int, unit: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return smooth noise of several grain sizes with mean 0 and standard deviation 1."""
    total = np.zeros((height, width), np.float32)
    for sigma in TEXTURE_OCTAVES:
        noise = rng.standard_normal((height, width), dtype=np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma * unit)
        total += smooth / smooth.std()
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def _chroma(colour: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the BGR colour less its luma."""
    bgr = np.asarray(colour, np.float32)
    chroma: npt.NDArray[np.float32] = bgr - _BGR_TO_LUMA @ bgr
    return chroma


def _jitter(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return _chroma(rng.uniform(-TINT_SPREAD, TINT_SPREAD, size=3))


def encode(frames: Iterable[npt.NDArray[np.uint8]], config: SyntheticConfig, path: Path) -> None:
    """Write frames (H, W, 3) as a video, complete or absent.

    Raises OSError where the encoder is missing or the file cannot be written.
    """
    size = (config.width, config.height)
    partial = path.with_name(f".partial-{path.name}")
    fourcc = cv2.VideoWriter.fourcc(*CODEC)
    writer = cv2.VideoWriter(str(partial), cv2.CAP_FFMPEG, fourcc, config.frames_per_second, size)
    try:
        if not writer.isOpened():
            raise OSError(f"cannot write {partial}: OpenCV has no {CODEC} encoder or no access")
        for frame in frames:
            writer.write(frame)
        writer.release()
        partial.replace(path)
    finally:
        writer.release()
        partial.unlink(missing_ok=True)
