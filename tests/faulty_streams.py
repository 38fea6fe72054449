"""Streams that crash, fail or hang; in a module that a worker imports without torch or pytest."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tsn.streams.table import STREAMS, Entry, FramesConfig, WorkerDevice
from tsn.streams.video import Frame
from tsn.workers.watchdog import HUNG


def entries_or_crash(
    frames: Iterator[Frame], config: FramesConfig, device: WorkerDevice
) -> Iterator[Entry]:
    """Crash on bright videos: for good above 200, the first time only above 150."""
    for frame in frames:
        if frame.min() > 200:
            os._exit(3)
        if frame.min() > 150:
            marker = Path(os.environ["TSN_TEST_MARKER"])
            if not marker.exists():
                marker.touch()
                os._exit(4)
        yield Entry(frame, True)


def entries_or_error(
    frames: Iterator[Frame], config: FramesConfig, device: WorkerDevice
) -> Iterator[Entry]:
    """An error of OpenCV's on bright videos, a full disk on very bright ones."""
    for frame in frames:
        if frame.min() > 200:
            raise OSError(28, "No space left on device", "store")
        if frame.min() > 150:
            cv2.cvtColor(np.zeros((2, 2), np.uint8), cv2.COLOR_BGR2GRAY)
        yield Entry(frame, True)


def hanging_entries(
    frames: Iterator[Frame], config: FramesConfig, device: WorkerDevice
) -> Iterator[Entry]:
    os._exit(HUNG)  # as the watchdog does


CRASHING = replace(STREAMS["frames"], name="crashing", make_entries=entries_or_crash)
FAILING = replace(STREAMS["frames"], name="failing", make_entries=entries_or_error)
HANGING = replace(CRASHING, name="hanging", make_entries=hanging_entries)
