"""Our TV-L1 against OpenCV's DualTVL1: error against true flow, shifts recovered, and time.

    python benchmarks/optical_flow.py [--pairs FOLDER]
    python benchmarks/optical_flow.py --size 96x72  # shifts alone, in frames of that size
    python benchmarks/optical_flow.py --gpu         # the GPU alone: a minute, no OpenCV to wait for

Three engines are measured: ours, ours with the pyramid of OpenCV 3 and later, and OpenCV's own.

Pairs with true flow are rendered (`tsn.sources.synthetic`), and taken from FOLDER, whose subfolders
hold frame10.png, frame11.png and flow10.flo as Middlebury's do; those are measured as they are, at
340x256, and so with noise. Textures (noise of several grains, a rendered frame, photographs of
FOLDER) are shifted by up to 20 pixels, and by no more than a sixth of the frame. The share of the
shift that is found shows how fast a motion may be. One of which less than 95 % is found is lost.

CPU: one thread each, the faster of two runs. GPU, where there is one: pairs per second in batches,
and how near that is to what the memory can move at all. The last line is JSON. With `--gpu` nothing
is needed but PyTorch with Triton, OpenCV and numba.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from tsn.flow.engines import create_engine, to_gray
from tsn.flow.tvl1 import DEEP
from tsn.sources.synthetic import ClipSpec, SyntheticConfig, clip_specs, render_clip, true_flow

Item = TypeVar("Item")
Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
WIDTH, HEIGHT = 340, 256  # the paper's
SMALL = (80, 64)  # the built-in dataset's
UNKNOWN = 1e9  # Middlebury's mark for pixels without true flow
NOISE = 10.0  # gray levels, standard deviation
GPU_PAIRS = 512
ENGINES = {"tvl1": "ours", "tvl1_opencv3": "step 0.8", "opencv": "OpenCV"}  # with their headings
SHIFTS = (4, 8, 12, 16, 20)  # pixels
MARGIN = max(SHIFTS)  # at every side of a texture, beyond the frame
LEAST_RECOVERED = 0.95  # of a shift, or it is lost
GRAINS = (0, 1, 4, 16)  # pixels by which noise is smoothed


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
    """One pair: mean endpoint errors in pixels and seconds, by engine."""

    pair: Pair
    errors: dict[str, float]
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ShiftRow:
    """One shift of a texture: the share of it that each engine recovers, the least of both axes."""

    texture: str
    pixels: int
    recovered: dict[str, float]


def rendered_clips(width: int, height: int) -> tuple[list[ClipSpec], SyntheticConfig]:
    """Return every third clip of a small dataset, and the dataset's configuration."""
    config = SyntheticConfig(
        seed=1,
        groups=3,
        clips_per_group=1,
        frames=8,
        width=width,
        height=height,
        frames_per_second=25,
        pan_share=0.34,
    )
    return clip_specs(config)[::3], config


def rendered_pairs(width: int = WIDTH, height: int = HEIGHT) -> Iterator[Pair]:
    """Yield a pair of every rendered clip."""
    specs, config = rendered_clips(width, height)
    for spec in specs:
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


def textures(folder: Path | None, size: tuple[int, int]) -> Iterator[tuple[str, Gray]]:
    """Yield named textures with MARGIN more pixels at every side than a frame of that size."""
    width, height = (side + 2 * MARGIN for side in size)
    noise = np.random.default_rng(1).normal(size=(height, width))
    for grain in GRAINS:
        smooth = cv2.GaussianBlur(noise, (0, 0), grain) if grain else noise
        gray = 128 + 40 * (smooth - smooth.mean()) / smooth.std()
        yield f"noise, grain {grain}", np.clip(gray, 0, 255).astype(np.uint8)
    specs, config = rendered_clips(width, height)
    yield f"rendered {Path(specs[0].video).parent}", to_gray(render_clip(specs[0], config)[3])
    for path in sorted(folder.glob("*/frame10.png")) if folder else ():
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        resized = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
        yield path.parent.name, np.asarray(resized, dtype=np.uint8)


def measure_shifts(folder: Path | None, size: tuple[int, int]) -> list[ShiftRow]:
    """Shift every texture by all of SHIFTS that are no more than a sixth of the frame (W, H)."""
    return [
        measure_shift(*texture, pixels)
        for texture in progress([*textures(folder, size)], "texture")
        for pixels in SHIFTS
        if pixels <= min(size) / 6
    ]


def measure_shift(name: str, texture: Gray, pixels: int) -> ShiftRow:
    """Shift a texture right and up with every engine."""
    recovered = {
        engine: min(recover(engine, texture, dx, dy) for dx, dy in ((pixels, 0), (0, -pixels)))
        for engine in ENGINES
    }
    return ShiftRow(texture=name, pixels=pixels, recovered=recovered)


def recover(engine: str, texture: Gray, dx: int, dy: int) -> float:
    """Return the mean flow along the shift (dx, dy) as a share of it, where no point leaves."""
    height, width = (side - 2 * MARGIN for side in texture.shape)
    gray0, gray1 = (
        np.ascontiguousarray(texture[MARGIN - y :, MARGIN - x :][:height, :width])
        for x, y in ((0, 0), (dx, dy))
    )
    flow = create_engine(engine, "cpu").compute(gray0[None], gray1[None])[0]
    mean = flow[MARGIN:-MARGIN, MARGIN:-MARGIN].mean(axis=(0, 1), dtype=np.float64)
    return float((mean[0] * dx + mean[1] * dy) / (dx * dx + dy * dy))


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
    """Compute a pair with every engine, each twice."""
    results = {engine: timed(engine, pair) for engine in ENGINES}
    return Row(
        pair=pair,
        errors={name: endpoint_error(flow, pair.truth) for name, (flow, _) in results.items()},
        seconds={name: seconds for name, (_, seconds) in results.items()},
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
    headings = "".join(f"{heading:>9}" for heading in ENGINES.values())
    print(f"\n{'pair':32}{'size':>9}{'error, pixels':>27}{'seconds':>27}")
    print(f"{'':41}{headings}{headings}")
    for row in rows:
        height, width = row.pair.gray0.shape
        figures = [*row.errors.values(), *row.seconds.values()]
        print(
            f"{row.pair.name:32}{f'{width}x{height}':>9}"
            + "".join(f"{figure:9.3f}" for figure in figures)
        )


def print_shifts(rows: list[ShiftRow]) -> None:
    """Print a line per engine and texture: what is recovered of each shift."""
    shifts = dict.fromkeys(row.pixels for row in rows)
    print(f"\n{'share of a shift recovered':41}" + "".join(f"{pixels:6} px" for pixels in shifts))
    for texture in dict.fromkeys(row.texture for row in rows):
        for engine, heading in ENGINES.items():
            shares = [row.recovered[engine] for row in rows if row.texture == texture]
            print(f"{texture:32}{heading:9}" + "".join(f"{share:9.3f}" for share in shares))


def measure_gpu(pairs: list[Pair]) -> dict[str, float]:
    """Return pairs per second in batches, and their bytes as a share of what a copy moves."""
    import torch

    from tsn.flow.tvl1_gpu import BYTES_PER_PIXEL_ITERATION, solve

    device = torch.device("cuda")
    engine = create_engine("tvl1", "cuda:0")
    timed_pairs = [pair for pair in pairs if pair.timed]
    height, width = timed_pairs[0].gray0.shape
    repeated = [timed_pairs[i % len(timed_pairs)] for i in range(GPU_PAIRS)]
    gray0, gray1 = (
        torch.from_numpy(np.stack(grays)).to(device).split(engine.batch_size)
        for grays in zip(*((pair.gray0, pair.gray1) for pair in repeated), strict=True)
    )
    solve(gray0[0], gray1[0], DEEP)  # compiles
    results, seconds = seconds_of(lambda: [solve(*b, DEEP) for b in zip(gray0, gray1, strict=True)])
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
        f"{width}x{height} in batches of {engine.batch_size} without the way to the GPU and back, "
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


def summary(rows: list[Row], shifts: list[ShiftRow]) -> dict[str, float]:
    """Return the means over the pairs, and what is worst, by engine."""
    seconds = {name: sum(row.seconds[name] for row in rows if row.pair.timed) for name in ENGINES}
    result = {
        "cpu_speedup_vs_opencv": round(seconds["opencv"] / seconds["tvl1"], 2),
        "cpu_speedup_vs_opencv3": round(seconds["tvl1_opencv3"] / seconds["tvl1"], 2),
        "cpu_pairs_per_s": round(sum(row.pair.timed for row in rows) / seconds["tvl1"], 2),
    }
    for other in ("opencv", "tvl1_opencv3"):
        worst = max(row.errors["tvl1"] / row.errors[other] for row in rows)
        result[f"worst_epe_ratio_to_{other}"] = round(worst, 3)
    for name in ENGINES:
        result[f"epe_{name}"] = round(float(np.mean([row.errors[name] for row in rows])), 4)
    return result | shift_summary(shifts)


def shift_summary(rows: list[ShiftRow]) -> dict[str, float]:
    """Return by engine the least share of a shift that is recovered, and how many are lost."""
    result: dict[str, float] = {}
    for name in ENGINES:
        recovered = [row.recovered[name] for row in rows]
        result[f"least_recovered_{name}"] = round(min(recovered), 3)
        result[f"lost_{name}"] = round(sum(x < LEAST_RECOVERED for x in recovered) / len(rows), 3)
    return result


def progress(items: list[Item], unit: str) -> Iterable[Item]:
    """Show how many of them are done."""
    from tqdm import tqdm  # which a machine for `--gpu` can lack

    return tqdm(items, unit=unit, disable=None)


def frame_size(text: str) -> tuple[int, int]:
    """Return width and height of a text such as 96x72: at least 60, where margins leave a third."""
    width, _, height = text.partition("x")
    sides = [int(side) for side in (width, height) if side.isdecimal()]
    if len(sides) != 2 or min(sides) < 3 * MARGIN:
        raise argparse.ArgumentTypeError(f"{text}: expected WIDTHxHEIGHT of {3 * MARGIN} or more")
    return sides[0], sides[1]


def main() -> None:
    """Measure, print the table, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, help="folder of <name>/frame10.png, ..., flow10.flo")
    parser.add_argument("--size", type=frame_size, help="WIDTHxHEIGHT: measure shifts alone")
    parser.add_argument("--gpu", action="store_true", help="measure the GPU alone")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.gpu:
        if not has_gpu():
            sys.exit("--gpu: torch sees no CUDA device here")
        small = measure_gpu([*rendered_pairs(*SMALL)])
        large = measure_gpu([*rendered_pairs()])
        print(json.dumps({**large, "gpu_pairs_per_s_80x64": small["gpu_pairs_per_s"]}))
        return
    if arguments.size:
        shifts = measure_shifts(arguments.pairs, arguments.size)
        print_shifts(shifts)
        print(json.dumps(shift_summary(shifts)))
        return
    pairs = [*rendered_pairs()]
    if arguments.pairs:
        pairs += photographed_pairs(arguments.pairs)
    timed("tvl1", pairs[0])  # compiles
    rows = [measure(pair) for pair in progress(pairs, "pair")]
    shifts = measure_shifts(arguments.pairs, (WIDTH, HEIGHT))
    print_table(rows)
    print_shifts(shifts)
    result = summary(rows, shifts)
    if has_gpu():
        result |= measure_gpu(pairs)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
