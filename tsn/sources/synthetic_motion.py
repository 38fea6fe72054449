"""What happens in the clips of the built-in dataset: its classes, and where everything moves.

Everything a still frame shows (place, size, angle) is drawn from the same distribution for every
class; a motion only says which of those coordinates advance with time. Lengths are pixels of a
frame whose shorter side is 120 and scale with the configured size. Letters: T frames.
"""

import math
from dataclasses import dataclass

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

# What a generator draws.
TRAJECTORY, GROUP_LOOK, CLIP_LOOK, BACKGROUND, LONG_VIDEO = range(5)


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
        """Return pixels of this frame size per pixel of the reference size."""
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
class Backdrop:
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
    backdrop: Backdrop
    phases: tuple[Phase, ...]


PLAIN = Look(140.0, (0.0, 40.0, 90.0))
BRIGHT = Look(185.0, (0.0, 0.0, 0.0))
DARK = Look(45.0, (0.0, 0.0, 0.0))

BOUNCE = Motion(y=True)
SLIDE = Motion(x=True)
PULSE = Motion(scale=True)
SPIN = Motion(angle=True)
SWAY = Motion(x=True, y=True)

GRASS = Backdrop((0.0, 60.0, 0.0))
WATER = Backdrop((80.0, 30.0, 0.0))
SAND = Backdrop((0.0, 50.0, 70.0))
DUSK = Backdrop((70.0, 0.0, 60.0))
CONCRETE = Backdrop((0.0, 0.0, 0.0))
BRICK = Backdrop((0.0, 0.0, 70.0))

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
        """Return whether the camera moves."""
        return "pan" in self.tags


@dataclass(frozen=True)
class Trajectory:
    """Where everything is: `camera` (T, 2) is the ground's offset on the screen in pixels, `actor`
    (T, 2, 3) maps the unit disc to the screen, `phases` holds each frame's phase."""

    camera: npt.NDArray[np.float64]
    actor: npt.NDArray[np.float64]
    phases: tuple[Phase, ...]


def clip_specs(config: SyntheticConfig) -> list[ClipSpec]:
    """Return every clip of the dataset, by class, group and clip number."""
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
    """Return the motion of camera and actor through the clip, without drawing it."""
    rng = generator(config, TRAJECTORY, spec.label, spec.group, spec.clip)
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


def generator(config: SyntheticConfig, *key: int) -> np.random.Generator:
    """Return the generator of a part of a clip: its own stream for every key."""
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
    """Return a wave of period 1 between -1 and 1 with constant speed."""
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
