"""The built-in dataset: seeded, generated, really encoded video in the UCF101 layout.

One textured disc, the actor, moves in front of a textured ground seen by a camera. Four classes
differ only in the colour of the ground, four only in the actor's motion, two only in which of two
states lasts longer over the whole clip; in a share of all clips the camera pans.

Everything a still frame shows (place, size, angle, brightness, texture) is drawn from the same
distribution for every class; a motion only says which of those coordinates advance with time.
Colours are offsets without luma, so that grey-level methods see the same ground in every class.
No distribution prefers left or right, so mirroring never changes a label.

Lengths are pixels of a frame whose shorter side is 120 and scale with the configured size.
Letters: T frames, H, W. Frames are BGR uint8, flow is float32 (dx, dy) in pixels.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

NUM_SPLITS = 3
REFERENCE_SIDE = 120
ACTOR_RADIUS = 18.0
SIZE_SPREAD = 0.08
SCALE_RANGE = 0.3
MOTION_RANGE = 13.0
PAN_RANGE = 24.0
ACTOR_SPEED = (2.2, 3.8)
SCALE_SPEED = (1.4, 2.0)
PAN_SPEED = (1.8, 3.2)
GROUND_LUMA = 105.0
GROUND_CONTRAST = 20.0
ACTOR_CONTRAST = 24.0
BRIGHTNESS_SPREAD = 12.0
TINT_SPREAD = 5.0
PIXEL_NOISE = 1.5
TEXTURE_OCTAVES = (1.2, 2.4, 4.8)
CODEC = "XVID"

_BGR_TO_LUMA = np.array([0.114, 0.587, 0.299], np.float32)
_TRAJECTORY, _GROUP_LOOK, _CLIP_LOOK = range(3)


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """How much to generate; `pan_share` is the share of every class's clips whose camera pans."""

    seed: int
    groups: int
    clips_per_group: int
    frames: int
    width: int
    height: int
    frames_per_second: int
    pan_share: float

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.groups < NUM_SPLITS or self.groups % NUM_SPLITS:
            raise ValueError(
                f"groups must be a positive multiple of {NUM_SPLITS}, one third of them is tested "
                f"in each split, got {self.groups}"
            )
        if self.clips_per_group < 1:
            raise ValueError(f"clips_per_group must be at least 1, got {self.clips_per_group}")
        if self.frames < 6:
            raise ValueError(f"frames must be at least 6 (two a phase), got {self.frames}")
        for name, side in (("width", self.width), ("height", self.height)):
            if side < 64 or side % 2:
                raise ValueError(f"{name} must be even and at least 64, got {side}")
        if self.frames_per_second < 1:
            raise ValueError(f"frames_per_second must be at least 1, got {self.frames_per_second}")
        if not 0.0 <= self.pan_share <= 1.0:
            raise ValueError(f"pan_share must be from 0 to 1, got {self.pan_share}")

    @property
    def pixels_per_unit(self) -> float:
        """Pixels of this frame size per pixel of the reference size."""
        return min(self.width, self.height) / REFERENCE_SIDE


@dataclass(frozen=True)
class Motion:
    """Which coordinates of the actor advance with time."""

    x: bool = False
    y: bool = False
    scale: bool = False
    angle: bool = False


@dataclass(frozen=True)
class Look:
    """The actor's mean luma and its BGR colour, of which the luma is removed."""

    luma: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """The ground's BGR colour, of which the luma is removed."""

    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Phase:
    """A part of a clip: its share of the frames and what the actor is and does meanwhile."""

    share: float
    look: Look
    motion: Motion


@dataclass(frozen=True)
class ActionClass:
    """A class: what tells it from the others (`kind`), where it plays, its phases in any order."""

    name: str
    kind: str
    scene: Scene
    phases: tuple[Phase, ...]


PLAIN = Look(140.0, (0.0, 40.0, 90.0))
BRIGHT = Look(185.0, (0.0, 0.0, 0.0))
DARK = Look(45.0, (0.0, 0.0, 0.0))

BOUNCE = Motion(y=True)
SLIDE = Motion(x=True)
PULSE = Motion(scale=True)
SPIN = Motion(angle=True)
SWAY = Motion(x=True, y=True)

GRASS = Scene((0.0, 60.0, 0.0))
WATER = Scene((80.0, 30.0, 0.0))
SAND = Scene((0.0, 50.0, 70.0))
DUSK = Scene((70.0, 0.0, 60.0))
CONCRETE = Scene((0.0, 0.0, 0.0))
BRICK = Scene((0.0, 0.0, 70.0))

_BRIGHT_THIRD = Phase(1 / 3, BRIGHT, BOUNCE)
_DARK_THIRD = Phase(1 / 3, DARK, SLIDE)

CLASSES: tuple[ActionClass, ...] = (
    ActionClass("MeadowSway", "appearance", GRASS, (Phase(1.0, PLAIN, SWAY),)),
    ActionClass("LakeSway", "appearance", WATER, (Phase(1.0, PLAIN, SWAY),)),
    ActionClass("DesertSway", "appearance", SAND, (Phase(1.0, PLAIN, SWAY),)),
    ActionClass("DuskSway", "appearance", DUSK, (Phase(1.0, PLAIN, SWAY),)),
    ActionClass("BallBounce", "motion", CONCRETE, (Phase(1.0, PLAIN, BOUNCE),)),
    ActionClass("BallSlide", "motion", CONCRETE, (Phase(1.0, PLAIN, SLIDE),)),
    ActionClass("BallPulse", "motion", CONCRETE, (Phase(1.0, PLAIN, PULSE),)),
    ActionClass("BallSpin", "motion", CONCRETE, (Phase(1.0, PLAIN, SPIN),)),
    ActionClass("MostlyBright", "long", BRICK, (_BRIGHT_THIRD, _BRIGHT_THIRD, _DARK_THIRD)),
    ActionClass("MostlyDark", "long", BRICK, (_BRIGHT_THIRD, _DARK_THIRD, _DARK_THIRD)),
)


@dataclass(frozen=True)
class ClipSpec:
    """One clip to be: its video id, place in the dataset (group and clip from 1) and tags."""

    video: str
    class_name: str
    label: int
    group: int
    clip: int
    tags: tuple[str, ...]

    @property
    def pans(self) -> bool:
        """Whether the camera moves."""
        return "pan" in self.tags


@dataclass(frozen=True)
class Trajectory:
    """Where everything is: `camera` (T, 2) is the ground's offset on the screen in pixels, `actor`
    (T, 2, 3) maps the unit disc to the screen, `phases` holds each frame's phase."""

    camera: npt.NDArray[np.float64]
    actor: npt.NDArray[np.float64]
    phases: tuple[Phase, ...]


def clip_specs(config: SyntheticConfig) -> list[ClipSpec]:
    """Every clip of the dataset, by class, group and clip number."""
    return [
        _clip_spec(config, label, group, clip)
        for label in range(len(CLASSES))
        for group in range(1, config.groups + 1)
        for clip in range(1, config.clips_per_group + 1)
    ]


def _clip_spec(config: SyntheticConfig, label: int, group: int, clip: int) -> ClipSpec:
    action = CLASSES[label]
    before = ((group - 1) * config.clips_per_group + clip - 1) * config.pan_share
    # The small term keeps shares like 0.1, which have no exact binary form, from losing a clip.
    pans = math.floor(before + config.pan_share + 1e-9) > math.floor(before + 1e-9)
    return ClipSpec(
        video=f"{action.name}/v_{action.name}_g{group:02d}_c{clip:02d}.avi",
        class_name=action.name,
        label=label,
        group=group,
        clip=clip,
        tags=(action.kind, "pan" if pans else "still"),
    )


def trajectory(spec: ClipSpec, config: SyntheticConfig) -> Trajectory:
    """The motion of camera and actor through the clip, without drawing it."""
    rng = _generator(config, _TRAJECTORY, spec.label, spec.group, spec.clip)
    unit = config.pixels_per_unit
    phases = _phase_of_frames(CLASSES[spec.label].phases, config.frames, rng)
    camera = unit * _camera_offsets(config.frames, spec.pans, rng)
    radius = ACTOR_RADIUS * (1.0 + rng.uniform(-SIZE_SPREAD, SIZE_SPREAD))
    speed, scale_speed = rng.uniform(*ACTOR_SPEED), rng.uniform(*SCALE_SPEED)
    turn = rng.choice([-1.0, 1.0]) * speed / radius / (2 * math.pi)
    cycles_per_frame = np.array(
        [
            speed / (4 * MOTION_RANGE),
            speed / (4 * MOTION_RANGE),
            scale_speed / (4 * SCALE_RANGE * radius),
            turn,
        ]
    )
    driven = np.array([[p.motion.x, p.motion.y, p.motion.scale, p.motion.angle] for p in phases])
    cycles = rng.uniform(size=4) + np.cumsum(driven * cycles_per_frame, axis=0)
    free = max(config.width - config.height, 0) / 2
    x = rng.uniform(-free, free) + unit * MOTION_RANGE * _triangle(cycles[:, 0])
    y = unit * MOTION_RANGE * _triangle(cycles[:, 1])
    centre = np.array([config.width - 1, config.height - 1]) / 2
    return Trajectory(
        camera=camera,
        actor=_similarities(
            centre + camera + np.stack([x, y], axis=1),
            unit * radius * (1.0 + SCALE_RANGE * _triangle(cycles[:, 2])),
            2 * math.pi * cycles[:, 3],
        ),
        phases=phases,
    )


def render_clip(spec: ClipSpec, config: SyntheticConfig) -> npt.NDArray[np.uint8]:
    """The clip's frames, (T, H, W, 3) BGR; the same bytes for the same spec and config."""
    path = trajectory(spec, config)
    group_rng = _generator(config, _GROUP_LOOK, spec.group)
    rng = _generator(config, _CLIP_LOOK, spec.label, spec.group, spec.clip)
    size = (config.width, config.height)
    margin = math.ceil(PAN_RANGE * config.pixels_per_unit) + 2
    ground = _ground_texture(size, margin, config.pixels_per_unit, group_rng, rng)
    actor, disc, to_unit = _actor_texture(config.pixels_per_unit, group_rng)
    brightness = rng.uniform(-BRIGHTNESS_SPREAD, BRIGHTNESS_SPREAD)
    ground_colour = _chroma(CLASSES[spec.label].scene.colour) + _jitter(rng)
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


def true_flow(spec: ClipSpec, config: SyntheticConfig) -> npt.NDArray[np.float32]:
    """Exact forward flow, (T-1, H, W, 2) in pixels: where what a pixel of frame t shows is in t+1.

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


def write_clips(config: SyntheticConfig, videos_dir: Path) -> Iterator[str]:
    """Encode every clip to `videos_dir/<class>/<clip>`, yielding each video id once it is complete.

    Raises OSError where the encoder is missing or a file cannot be written.
    """
    for spec in clip_specs(config):
        path = videos_dir / spec.video
        path.parent.mkdir(parents=True, exist_ok=True)
        _encode(render_clip(spec, config), config.frames_per_second, path)
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
    with (lists_dir / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "tags"])
        writer.writerows([s.video, ";".join(s.tags)] for s in specs)


def _test_split(spec: ClipSpec, config: SyntheticConfig) -> int:
    return (spec.group - 1) // (config.groups // NUM_SPLITS) + 1


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _generator(config: SyntheticConfig, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=key))


def _phase_of_frames(
    phases: tuple[Phase, ...], frames: int, rng: np.random.Generator
) -> tuple[Phase, ...]:
    order = [phases[index] for index in rng.permutation(len(phases))]
    ends = np.rint(frames * np.cumsum([phase.share for phase in order])).astype(int)
    return tuple(order[int(index)] for index in np.searchsorted(ends, range(frames), side="right"))


def _camera_offsets(frames: int, pans: bool, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    angle, start, speed = rng.uniform(0, 2 * math.pi), rng.uniform(), rng.uniform(*PAN_SPEED)
    # A still camera rests somewhere on the same sweep, so that no frame gives the pan away.
    cycles = start + pans * speed / (4 * PAN_RANGE) * np.arange(frames)
    direction = np.array([math.cos(angle), math.sin(angle)])
    offsets: npt.NDArray[np.float64] = PAN_RANGE * _triangle(cycles)[:, None] * direction
    return offsets


def _triangle(cycles: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """A wave of period 1 between -1 and 1 with constant speed."""
    wave: npt.NDArray[np.float64] = 4 * np.abs(cycles - np.floor(cycles + 0.5)) - 1
    return wave


def _similarities(
    centres: npt.NDArray[np.float64],
    scales: npt.NDArray[np.float64],
    angles: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    cos, sin = scales * np.cos(angles), scales * np.sin(angles)
    return np.stack(
        [
            np.stack([cos, -sin, centres[:, 0]], axis=1),
            np.stack([sin, cos, centres[:, 1]], axis=1),
        ],
        axis=1,
    )


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
    """A clip's window, `margin` larger than the frame all round, on the ground of its group."""
    height, width = size[1] + 2 * margin, size[0] + 2 * margin
    plane = _texture(height + 2 * margin, width + 2 * margin, unit, group_rng)
    top, left = rng.integers(0, 2 * margin, size=2)
    return GROUND_CONTRAST * plane[top : top + height, left : left + width]


def _actor_texture(
    unit: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """The actor's luma pattern, its soft-edged disc, and their (3, 3) map to the unit disc."""
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
    """Smooth noise of several grain sizes with mean 0 and standard deviation 1."""
    total = np.zeros((height, width), np.float32)
    for sigma in TEXTURE_OCTAVES:
        noise = rng.standard_normal((height, width), dtype=np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma * unit)
        total += smooth / smooth.std()
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def _chroma(colour: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """The BGR colour less its luma."""
    bgr = np.asarray(colour, np.float32)
    chroma: npt.NDArray[np.float32] = bgr - _BGR_TO_LUMA @ bgr
    return chroma


def _jitter(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return _chroma(rng.uniform(-TINT_SPREAD, TINT_SPREAD, size=3))


def _encode(frames: npt.NDArray[np.uint8], frames_per_second: int, path: Path) -> None:
    size = (frames.shape[2], frames.shape[1])
    partial = path.with_name(f".partial-{path.name}")
    fourcc = cv2.VideoWriter.fourcc(*CODEC)
    writer = cv2.VideoWriter(str(partial), cv2.CAP_FFMPEG, fourcc, frames_per_second, size)
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
