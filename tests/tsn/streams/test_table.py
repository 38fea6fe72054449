"""Streams: what is computed ahead of the one who asks."""

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tsn.flow.engines import FlowEngine
from tsn.streams import table as streams
from tsn.streams.table import STREAMS, FlowConfig, WorkerDevice

FLOW = FlowConfig(width=4, height=3, jpeg_quality=90, bound=8.0, engine="tvl1")


def test_the_next_batch_is_computed_while_this_one_is_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second = threading.Event()
    sizes = []

    def compute(gray0: npt.NDArray[np.uint8], _: Any) -> npt.NDArray[np.float32]:
        sizes.append(len(gray0))
        if len(sizes) == 2:
            second.set()
        return np.zeros((*gray0.shape, 2), dtype=np.float32)

    engine = FlowEngine(compute=compute, batch_size=16)
    monkeypatch.setattr(streams, "create_engine", lambda name, device: engine)
    frames = iter(np.zeros((40, 3, 4, 3), dtype=np.uint8))
    entries = STREAMS["flow"].make_entries(frames, FLOW, WorkerDevice(name="cpu", threads=1))
    next(entries)
    assert second.wait(10)
    assert len(list(entries)) == 38
    assert sizes == [16, 16, 7]
