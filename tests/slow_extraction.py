"""An extraction that takes its time, to be stopped in the middle; also as a program of its own."""

import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stream_configs import ACCEPT, FRAMES

from tsn.streams.extraction import ExtractionJob, extract_stream
from tsn.streams.table import STREAMS, Entry, FramesConfig, WorkerDevice
from tsn.streams.video import Frame

CORE = WorkerDevice(name="cpu", threads=1)


def slow_entries(
    frames: Iterator[Frame], config: FramesConfig, device: WorkerDevice
) -> Iterator[Entry]:
    """Yield the frames themselves, 20 a second."""
    for frame in frames:
        time.sleep(0.05)
        yield Entry(frame, True)


SLOW = replace(STREAMS["frames"], name="slow", make_entries=slow_entries)


PROGRAM = "import slow_extraction, sys; slow_extraction.main(*sys.argv[1:])"


def main(folder: str, *videos: str) -> None:
    """Extract with two workers, and print their process ids per video done."""
    root = Path(folder)
    job = ExtractionJob(
        stream=SLOW,
        config=FRAMES,
        accept=ACCEPT,
        videos_dir=root / "videos",
        videos=videos,
        store_dir=root / "store",
        devices=[CORE] * 2,
    )
    for _ in extract_stream(job, root / "slow"):
        pids = [str(child.pid) for child in multiprocessing.active_children()]
        sys.stdout.write(" ".join(pids) + "\n")
        sys.stdout.flush()
