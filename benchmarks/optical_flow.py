"""Our TV-L1 against OpenCV's DualTVL1: error against true flow, and time, in one run.

    python benchmarks/optical_flow.py [--pairs FOLDER]

Pairs with true flow are rendered (`tsn.sources.synthetic`), and taken from FOLDER, whose subfolders
hold frame10.png, frame11.png and flow10.flo as Middlebury's do; those are measured as they are, at
340x256, and so with noise. CPU: one thread each, the faster of two runs. GPU, where there is one:
pairs per second in batches, and how near that is to what the memory can move at all. The last line
is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tsn.flow.engines import create_engine, to_gray
from tsn.sources.synthetic import SyntheticConfig, clip_specs, render_clip, true_flow

Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
WIDTH, HEIGHT = 340, 256  # the paper's
UNKNOWN = 1e9  # Middlebury's mark for pixels without true flow
NOISE = 10.0  # gray levels, standard deviation
GPU_PAIRS = 512


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Frames (H, W), true flow (H, W, 2) in pixels, NaN where unknown. Speed is taken from those
    that are `timed`."""

    name: str
    timed: bool
    gray0: Gray
    gray1: Gray
    truth: Flow


@dataclass(frozen=True, kw_only=True)
class Row:
    """One pair: mean endpoint errors in pixels, and seconds."""

    pair: Pair
    ours: float
    opencv: float
    our_seconds: float
    opencv_seconds: float


def rendered_pairs() -> Iterator[Pair]:
    """Yield a pair of every third clip of a small dataset."""
    config = SyntheticConfig(
        seed=1,
        groups=3,
        clips_per_group=1,
        frames=8,
        width=WIDTH,
        height=HEIGHT,
        frames_per_second=25,
        pan_share=0.34,
    )
    for spec in clip_specs(config)[::3]:
        frames = render_clip(spec, config)
        yield Pair(
            name=f"rendered {Path(spec.video).parent}",
            timed=True,
            gray0=to_gray(frames[3]),
            gray1=to_gray(frames[4]),
            truth=true_flow(spec, config)[3],
        )


def photographed_pairs(folder: Path) -> Iterator[Pair]:
    """Yield the pairs of a folder in Middlebury's layout: as they are, at 340x256, and noisy."""
    rng = np.random.default_rng(1)
    for truth_path in sorted(folder.glob("*/flow10.flo")):
        gray0, gray1 = (
            cv2.imread(str(truth_path.with_name(name)), cv2.IMREAD_GRAYSCALE)
            for name in ("frame10.png", "frame11.png")
        )
        truth = read_flo(truth_path)
        name = truth_path.parent.name
        yield Pair(name=name, timed=False, gray0=gray0, gray1=gray1, truth=truth)
        height, width = gray0.shape
        small = [
            cv2.resize(g, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for g in (gray0, gray1)
        ]
        scale = np.array([WIDTH / width, HEIGHT / height], dtype=np.float32)
        nearest = cv2.resize(truth, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        noisy = [g + rng.normal(0, NOISE, g.shape) for g in small]
        for kind, grays in (("small", small), ("noisy", noisy)):
            yield Pair(
                name=f"{name} {kind}",
                timed=kind == "small",
                gray0=np.clip(grays[0], 0, 255).astype(np.uint8),
                gray1=np.clip(grays[1], 0, 255).astype(np.uint8),
                truth=nearest * scale,
            )


def read_flo(path: Path) -> Flow:
    """Return the flow (H, W, 2) of a .flo file, NaN where it is unknown."""
    data = np.fromfile(path, dtype="<f4")
    width, height = data[1:3].view("<i4")
    flow: Flow = data[3:].reshape(height, width, 2).copy()
    flow[np.abs(flow).max(axis=2) > UNKNOWN] = np.nan
    return flow


def endpoint_error(flow: Flow, truth: Flow) -> float:
    """Return the mean distance of the flow's ends from the true ones, in pixels."""
    return float(np.nanmean(np.linalg.norm(flow - truth, axis=2)))


def measure(pair: Pair) -> Row:
    """Compute a pair with both, each twice."""
    flows, seconds = zip(*(timed(engine, pair) for engine in ("tvl1", "opencv")), strict=True)
    return Row(
        pair=pair,
        ours=endpoint_error(flows[0], pair.truth),
        opencv=endpoint_error(flows[1], pair.truth),
        our_seconds=seconds[0],
        opencv_seconds=seconds[1],
    )


def timed(engine: str, pair: Pair) -> tuple[Flow, float]:
    """Return the flow of a pair and the seconds of the faster of two runs."""
    compute = create_engine(engine, "cpu").compute
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        flow = compute(pair.gray0[None], pair.gray1[None])[0]
        seconds.append(time.perf_counter() - start)
    return flow, min(seconds)


def print_table(rows: list[Row]) -> None:
    """Print a line per pair."""
    print(f"\n{'pair':32}{'size':>10}{'error, pixels':>24}{'seconds':>22}")
    print(f"{'':42}{'ours':>8}{'OpenCV':>8}{'ratio':>8}{'ours':>8}{'OpenCV':>8}{'ratio':>7}")
    for row in rows:
        height, width = row.pair.gray0.shape
        print(
            f"{row.pair.name:32}{f'{width}x{height}':>10}{row.ours:8.3f}{row.opencv:8.3f}"
            f"{row.ours / row.opencv:8.3f}{row.our_seconds:8.3f}{row.opencv_seconds:8.3f}"
            f"{row.opencv_seconds / row.our_seconds:7.1f}"
        )


def measure_gpu(pairs: list[Pair]) -> dict[str, float]:
    """Return pairs per second in batches, and their bytes as a share of what a copy moves."""
    import torch

    from tsn.flow.tvl1_gpu import BYTES_PER_PIXEL_ITERATION, solve

    device = torch.device("cuda")
    engine = create_engine("tvl1", "cuda:0")
    timed_pairs = [pair for pair in pairs if pair.timed]
    repeated = [timed_pairs[i % len(timed_pairs)] for i in range(GPU_PAIRS)]
    gray0, gray1 = (
        torch.from_numpy(np.stack(grays)).to(device).split(engine.batch_size)
        for grays in zip(*((pair.gray0, pair.gray1) for pair in repeated), strict=True)
    )
    solve(gray0[0], gray1[0])  # compiles
    results, seconds = seconds_of(lambda: [solve(*b) for b in zip(gray0, gray1, strict=True)])
    moved = sum(float(iterations) for _, iterations in results) * BYTES_PER_PIXEL_ITERATION
    block = torch.empty(2**30, dtype=torch.uint8, device=device)
    copy = torch.empty_like(block)
    copy.copy_(block)
    _, copy_seconds = seconds_of(lambda: [copy.copy_(block) for _ in range(10)])
    limit = 10 * 2 * 2**30 / copy_seconds
    flows = torch.cat([flow for flow, _ in results]).cpu().numpy()
    on_cpu = create_engine("tvl1", "cpu").compute
    difference = np.mean(
        [
            endpoint_error(flows[i], on_cpu(pair.gray0[None], pair.gray1[None])[0])
            for i, pair in enumerate(timed_pairs)
        ]
    )
    print(
        f"\nGPU ({torch.cuda.get_device_name(device)}): {GPU_PAIRS / seconds:.0f} pairs/s at "
        f"{WIDTH}x{HEIGHT} without the way to the GPU and back, "
        f"{moved / GPU_PAIRS / 1e9:.2f} GB moved a pair by the iterations: "
        f"{moved / seconds / 1e12:.2f} of {limit / 1e12:.2f} TB/s that a copy moves; "
        f"{difference:.4f} pixels from the CPU in the mean"
    )
    return {
        "gpu_pairs_per_s": round(GPU_PAIRS / seconds, 1),
        "gpu_memory_limit_fraction": round(moved / seconds / limit, 3),
        "gpu_cpu_mean_difference": round(float(difference), 4),
    }


def seconds_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` returns and how long the GPU took for it."""
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return result, time.perf_counter() - start


def has_gpu() -> bool:
    """Return whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def main() -> None:
    """Measure, print the table, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, help="folder of <name>/frame10.png, ..., flow10.flo")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    pairs = [*rendered_pairs()]
    if arguments.pairs:
        pairs += photographed_pairs(arguments.pairs)
    timed("tvl1", pairs[0])  # compiles
    rows = [measure(pair) for pair in tqdm(pairs, unit="pair", disable=None)]
    print_table(rows)
    timed_rows = [row for row in rows if row.pair.timed]
    speedup = sum(r.opencv_seconds for r in timed_rows) / sum(r.our_seconds for r in timed_rows)
    result = {
        "cpu_speedup_vs_opencv": round(speedup, 2),
        "cpu_pairs_per_s": round(len(timed_rows) / sum(r.our_seconds for r in timed_rows), 2),
        "epe_ours": round(float(np.mean([row.ours for row in rows])), 4),
        "epe_opencv": round(float(np.mean([row.opencv for row in rows])), 4),
        "worst_epe_ratio": round(max(row.ours / row.opencv for row in rows), 3),
    }
    if has_gpu():
        result |= measure_gpu(pairs)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
