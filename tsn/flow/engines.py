"""Optical flow by several engines, and its 8-bit form.

A value v in pixels is stored as round(255 (v + bound) / (2 bound)), so that 128 is zero.

Layout: frames (H, W, 3) uint8 BGR, gray (H, W) or (B, H, W) uint8, B pairs; flow (H, W, 2) or
(B, H, W, 2) float32, x then y, in pixels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import cv2
import numpy as np
import numpy.typing as npt

from tsn.flow.tvl1 import DEEP, OPENCV3, Pyramid

Frame = npt.NDArray[np.uint8]
Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]

_GPU_BATCH = 128  # pairs; enough to fill a GPU from 80x64 up
_GPU_PIXELS = _GPU_BATCH * 340 * 256  # of all pairs at once: 1.1 GB of its memory


@dataclass(frozen=True, kw_only=True)
class FlowEngine:
    """`compute` takes gray frames (B, H, W) and those that follow them and returns their flow
    (B, H, W, 2), each pair's as if it were alone. `batch_size` is the B it does best with."""

    compute: Callable[[Gray, Gray], Flow]
    batch_size: int


def tvl1_on_cpu(pyramid: Pyramid) -> FlowEngine:
    """Return our TV-L1 (`tsn.flow.tvl1`), on one core."""
    from tsn.flow.tvl1_cpu import tvl1_flow  # numba takes its time, and a GPU's worker does without

    return _one_by_one(partial(tvl1_flow, pyramid=pyramid))


def tvl1_on_gpu(device: str, pyramid: Pyramid) -> FlowEngine:
    """Return our TV-L1 (`tsn.flow.tvl1`), on a GPU such as "cuda:0"."""
    import torch  # takes seconds, and a CPU machine extracts without it

    from tsn.flow.tvl1_gpu import tvl1_flow_batch

    def compute(gray0: Gray, gray1: Gray) -> Flow:
        at_once = max(1, _GPU_PIXELS // gray0[0].size)
        starts = range(0, len(gray0), at_once)
        return np.concatenate([part(g[i : i + at_once] for g in (gray0, gray1)) for i in starts])

    def part(grays: Iterable[Gray]) -> Flow:
        with torch.cuda.device(device):  # Triton launches on the current one, and per thread
            gray0, gray1 = (torch.from_numpy(gray).to(device) for gray in grays)
            flow: Flow = tvl1_flow_batch(gray0, gray1, pyramid).cpu().numpy()
        return flow

    return FlowEngine(compute=compute, batch_size=_GPU_BATCH)


def opencv_tvl1() -> FlowEngine:
    """Return OpenCV's DualTVL1 at the defaults of OpenCV 3 and later, for comparison.

    The paper used another: OpenCV 2.4's on a GPU, with a pyramid of step 0.5. This one loses what
    moves more than 8 pixels.
    """
    algorithm = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]
    return _one_by_one(lambda gray0, gray1: algorithm.calc(gray0, gray1, None))


def opencv_dis() -> FlowEngine:
    """Return OpenCV's dense inverse search: for a quick look, faster still and less exact.

    The paper's networks want TV-L1; other algorithms cost points.
    """
    algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    return _one_by_one(lambda gray0, gray1: algorithm.calc(gray0, gray1, None))


@dataclass(frozen=True, kw_only=True)
class _EngineRow:
    on_cpu: Callable[[], FlowEngine]
    on_gpu: Callable[[str], FlowEngine] | None


def _tvl1_row(pyramid: Pyramid) -> _EngineRow:
    # Triton comes with torch where there is one, which is not on every platform with CUDA.
    on_gpu = partial(tvl1_on_gpu, pyramid=pyramid) if find_spec("triton") else None
    return _EngineRow(on_cpu=partial(tvl1_on_cpu, pyramid), on_gpu=on_gpu)


FLOW_ENGINES: dict[str, _EngineRow] = {
    "tvl1": _tvl1_row(DEEP),
    "tvl1_opencv3": _tvl1_row(OPENCV3),
    "opencv": _EngineRow(on_cpu=opencv_tvl1, on_gpu=None),
    "dis": _EngineRow(on_cpu=opencv_dis, on_gpu=None),
}


def create_engine(name: str, device: str) -> FlowEngine:
    """Return a new engine on "cpu" or a GPU such as "cuda:0"; it may keep buffers, so one per
    thread. An engine without a GPU path computes on the CPU."""
    if name not in FLOW_ENGINES:
        raise ValueError(f"unknown flow engine {name!r}; valid: {', '.join(sorted(FLOW_ENGINES))}")
    row = FLOW_ENGINES[name]
    if device == "cpu" or row.on_gpu is None:
        return row.on_cpu()
    return row.on_gpu(device)


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


def _one_by_one(flow_of_pair: Callable[[Gray, Gray], Flow]) -> FlowEngine:
    def compute(gray0: Gray, gray1: Gray) -> Flow:
        flows = [flow_of_pair(*pair) for pair in zip(gray0, gray1, strict=True)]
        return np.stack(flows).astype(np.float32, copy=False)

    return FlowEngine(compute=compute, batch_size=1)
