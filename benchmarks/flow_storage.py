"""What storing flow as 8-bit JPEGs costs: error against size, by JPEG quality.

    python benchmarks/flow_storage.py VIDEO ... [--pairs 8]

Flow of evenly spaced pairs of each video at 340x256 is quantised with the paper's bound of
20 pixels, encoded and decoded again. The error is the mean distance per component from the flow
before, in pixels, beyond-the-bound values clipped first. The last line is JSON.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from tsn.flow.engines import create_engine, flow_to_uint8, to_gray, uint8_to_flow
from tsn.streams.archives import read_entries, write_archive
from tsn.streams.video import read_frames

WIDTH, HEIGHT, BOUND = 340, 256, 20.0
QUALITIES = (50, 70, 80, 85, 90, 95, 98, 100)


def main() -> None:
    """Measure every quality on the same flow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--pairs", type=int, default=8, help="pairs of each video (default 8)")
    parser.add_argument("--scratch", type=Path, default=Path("flow_storage.zip"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    flows = np.stack([f for video in arguments.videos for f in flow_of(video, arguments.pairs)])
    clipped = np.clip(flows, -BOUND, BOUND)
    stored = flow_to_uint8(flows, BOUND)
    quantised = float(np.abs(uint8_to_flow(stored, BOUND) - clipped).mean())
    print(f"{len(flows)} fields; quantised, not compressed: {quantised:.4f} pixels")
    print(f"{'quality':>8}{'error, pixels':>16}{'99th percentile':>18}{'KB a field':>12}")
    rows = []
    for quality in QUALITIES:
        write_archive(arguments.scratch, stored, quality)
        size = arguments.scratch.stat().st_size / len(flows) / 1e3
        back = uint8_to_flow(read_entries(arguments.scratch, range(len(flows))), BOUND)
        errors = np.abs(back - clipped)
        rows.append(
            {
                "quality": quality,
                "error": round(float(errors.mean()), 4),
                "error_99": round(float(np.percentile(errors, 99)), 4),
                "kilobytes": round(size, 2),
            }
        )
        print("{quality:8}{error:16.4f}{error_99:18.4f}{kilobytes:12.2f}".format(**rows[-1]))
    arguments.scratch.unlink()
    print(json.dumps({"quantised": round(quantised, 4), "qualities": rows}))


def flow_of(video: Path, count: int) -> list[np.ndarray]:
    """Return the flow of `count` evenly spaced pairs of a video."""
    grays = [to_gray(frame) for frame in read_frames(video, WIDTH, HEIGHT)]
    engine = create_engine("tvl1", "cpu")
    places = np.linspace(0, len(grays) - 2, count).astype(int)
    return [engine.compute(grays[i][None], grays[i + 1][None])[0] for i in places]


if __name__ == "__main__":
    main()
