"""Streams: how the frames of a video become what a modality reads.

A stream turns the N frames of a video into entries: N images, or the flow of N - 1 pairs of
neighbours (entry i belongs to frames i and i + 1).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tsn.flow.camera_motion import GrayFrame, HomographyConfig, take_out_camera_motion
from tsn.flow.engines import (
    FLOW_ENGINES,
    Flow,
    Frame,
    Gray,
    create_engine,
    flow_to_uint8,
    to_gray,
)
from tsn.streams.limits import DEFAULT_LIMITS
from tsn.workers.prefetch import map_ahead, prefetch

MAX_PIXELS = DEFAULT_LIMITS.pixels  # of a frame that is kept, as of one that is read

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FramesConfig:
    """Frames resized to `width` x `height` pixels, stored as JPEGs of that quality."""

    width: int
    height: int
    jpeg_quality: int

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.width * self.height > MAX_PIXELS:
            raise ValueError(
                f"width x height is {self.width} x {self.height}, expected at most {MAX_PIXELS} "
                "pixels"
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}, expected 1 to 100")


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Which videos an extraction takes, apart from how it makes their streams.

    Videos of fewer than `min_frames` frames and unreadable ones are quarantined; more than
    `max_quarantined` of them are an error.
    """

    min_frames: int
    max_quarantined: int

    def __post_init__(self) -> None:
        if self.min_frames < 1:
            raise ValueError(f"min_frames is {self.min_frames}, expected at least 1")
        if self.max_quarantined < 0:
            raise ValueError(f"max_quarantined is {self.max_quarantined}, expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class FlowConfig(FramesConfig):
    """Flow of the resized frames by `engine`, clipped at `bound` pixels."""

    bound: float
    engine: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bound <= 0:
            raise ValueError(f"bound is {self.bound}, expected above 0 pixels")
        if self.engine not in FLOW_ENGINES:
            raise ValueError(f"engine is {self.engine!r}; valid: {', '.join(sorted(FLOW_ENGINES))}")


@dataclass(frozen=True, kw_only=True)
class WarpedFlowConfig(FlowConfig):
    """Flow after the camera motion that `homography` finds is taken out."""

    homography: HomographyConfig


@dataclass(frozen=True, kw_only=True)
class WorkerDevice:
    """Where one worker process computes: on "cpu" or a GPU such as "cuda:0", with this many
    threads beside the one that leads."""

    name: str
    threads: int


class Entry(NamedTuple):
    """`pixels` (H, W, C) uint8; `supported` is False where camera motion was not found."""

    pixels: npt.NDArray[np.uint8]
    supported: bool


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How a video becomes entries. Raise `version` with every change of the entries' values."""

    name: str
    config_class: type[FramesConfig]
    make_entries: Callable[[Iterator[Frame], Any, WorkerDevice], Iterator[Entry]]
    frames_per_entry: int
    version: int

    def num_entries(self, num_frames: int) -> int:
        """Return how many entries that many frames give."""
        return max(0, num_frames - self.frames_per_entry + 1)


def frame_entries(
    frames: Iterator[Frame], _config: FramesConfig, _device: WorkerDevice
) -> Iterator[Entry]:
    """Yield every frame as it is."""
    return (Entry(frame, True) for frame in prefetch(frames, depth=2))


def flow_entries(
    frames: Iterator[Frame], config: FlowConfig, device: WorkerDevice
) -> Iterator[Entry]:
    """Yield the quantised flow of every pair of neighbours."""
    pairs = (_Pair(*pair, supported=True) for pair in pairwise(map(to_gray, frames)))
    return _flow_of_pairs(pairs, config, device)


def warped_flow_entries(
    frames: Iterator[Frame], config: WarpedFlowConfig, device: WorkerDevice
) -> Iterator[Entry]:
    """Yield the quantised flow of every pair of neighbours, its camera motion taken out."""
    steady = partial(_steady_pair, config=config.homography)
    grays = (GrayFrame(to_gray(frame)) for frame in prefetch(frames, depth=2))
    return _flow_of_pairs(map_ahead(steady, pairwise(grays), device.threads), config, device)


class _Pair(NamedTuple):
    gray0: Gray
    gray1: Gray
    supported: bool


def _steady_pair(frames: tuple[GrayFrame, GrayFrame], config: HomographyConfig) -> _Pair:
    gray1, supported = take_out_camera_motion(*frames, config)
    return _Pair(frames[0].gray, gray1, supported)


def _flow_of_pairs(
    pairs: Iterator[_Pair], config: FlowConfig, device: WorkerDevice
) -> Iterator[Entry]:
    engine = create_engine(config.engine, device.name)

    def flows() -> Iterator[tuple[_Pair, Flow]]:
        for batch in _batched(prefetch(pairs, 2 * engine.batch_size), engine.batch_size):
            grays = (np.stack(grays) for grays in list(zip(*batch, strict=True))[:2])
            yield from zip(batch, engine.compute(*grays), strict=True)

    def entry(result: tuple[_Pair, Flow]) -> Entry:
        pair, flow = result
        return Entry(flow_to_uint8(flow, config.bound), pair.supported)

    return map_ahead(entry, prefetch(flows(), engine.batch_size), device.threads)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


STREAMS: dict[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream(
            name="frames",
            config_class=FramesConfig,
            make_entries=frame_entries,
            frames_per_entry=1,
            version=1,
        ),
        Stream(
            name="flow",
            config_class=FlowConfig,
            make_entries=flow_entries,
            frames_per_entry=2,
            version=2,
        ),
        Stream(
            name="warped_flow",
            config_class=WarpedFlowConfig,
            make_entries=warped_flow_entries,
            frames_per_entry=2,
            version=3,
        ),
    )
}


def uses_gpu(config: FramesConfig) -> bool:
    """Return whether a stream of that configuration is computed on a GPU where there is one."""
    return isinstance(config, FlowConfig) and FLOW_ENGINES[config.engine].on_gpu is not None
