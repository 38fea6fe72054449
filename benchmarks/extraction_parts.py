"""What an extraction spends its time on: every step of a frame, of a flow, of a warped flow.

    python benchmarks/extraction_parts.py [--recipe ucf101] VIDEO ...

Each step is done by itself on one core, with the settings of the recipe, for up to 60 frames of
every video. Printed are milliseconds of the CPU for an entry of each stream, their shares, and the
entries a second of a core that come of them. The last line is JSON.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from stages.runtime import params
from tsn.flow.camera_motion import GrayFrame, take_out_camera_motion
from tsn.flow.engines import Gray, create_engine, flow_to_uint8, to_gray
from tsn.streams.archives import write_archive
from tsn.streams.table import FramesConfig, WarpedFlowConfig
from tsn.streams.video import FrameReader, initialise_worker, resize_frame

FRAMES = 60  # at most, of a video
# The steps of an entry of each stream.
FRAME = ("decode", "resize", "write frames")
FLOW = ("decode", "resize", "gray", "TV-L1", "quantise", "write flow")
WARPED_FLOW = (*FLOW[:3], "camera motion", "TV-L1 after it", *FLOW[4:])
T = TypeVar("T")


def main() -> None:
    """Measure the steps, print a table for each stream, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--recipe", default="ucf101", help="whose settings (default ucf101)")
    arguments = parser.parse_args()
    recipe = params.load_recipe(arguments.recipe)
    frames = params.section(recipe, "extract.rgb", FramesConfig)
    flows = params.section(recipe, "extract.warped_flow", WarpedFlowConfig)
    initialise_worker()
    costs = measure(arguments.videos, frames, replace(flows, engine="tvl1"))
    result = {
        stream: report(stream, {step: costs[step] for step in steps})
        for stream, steps in (("frames", FRAME), ("flow", FLOW), ("warped flow", WARPED_FLOW))
    }
    print(json.dumps(result))


def measure(
    videos: Sequence[Path], frames: FramesConfig, flows: WarpedFlowConfig
) -> dict[str, float]:
    """Return the milliseconds of each step for a frame or pair."""
    seconds: dict[str, float] = defaultdict(float)
    done: dict[str, int] = defaultdict(int)

    def each(step: str, results: Iterable[T]) -> list[T]:
        start = time.process_time()
        made = list(results)
        seconds[step] += time.process_time() - start
        done[step] += len(made)
        return made

    def write(images: Sequence[Gray], config: FramesConfig) -> Iterator[Gray]:
        with TemporaryDirectory() as folder:
            write_archive(Path(folder) / "clip.zip", images, config.jpeg_quality)
        yield from images

    tvl1 = create_engine(flows.engine, "cpu").compute
    tvl1(*np.zeros((2, 1, 64, 64), np.uint8))  # compiles
    for video in videos:
        decoded = each("decode", islice(FrameReader(video), FRAMES))
        images, small = (
            each("resize", (resize_frame(frame, c.width, c.height) for frame in decoded))
            for c in (frames, flows)
        )
        each("write frames", write(images, frames))
        grays = each("gray", map(to_gray, small))
        pairs = pairwise([GrayFrame(gray) for gray in grays])
        warped = (take_out_camera_motion(*pair, flows.homography)[0] for pair in pairs)
        steady = each("camera motion", warped)
        fields = each("TV-L1", (tvl1(a[None], b[None])[0] for a, b in pairwise(grays)))
        after = zip(grays[:-1], steady, strict=True)
        each("TV-L1 after it", (tvl1(a[None], b[None])[0] for a, b in after))
        pixels = each("quantise", (flow_to_uint8(flow, flows.bound) for flow in fields))
        each("write flow", write(pixels, flows))
    return {step: 1000 * spent / done[step] for step, spent in seconds.items()}


def report(stream: str, costs: dict[str, float]) -> dict[str, float]:
    """Print the steps of a stream; return what an entry takes, and the shares of the steps."""
    total = sum(costs.values())
    print(f"{stream}: {total:.2f} ms an entry, {1000 / total:.1f} entries a second of a core")
    for step, cost in costs.items():
        print(f"  {step:16}{cost:9.3f} ms{cost / total:8.1%}")
    shares = {step: round(cost / total, 4) for step, cost in costs.items()}
    return {"ms": round(total, 3), "entries_per_core_s": round(1000 / total, 1), **shares}


if __name__ == "__main__":
    main()
