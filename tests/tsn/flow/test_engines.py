"""Flow: the stored form by hand, and what every engine has to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from flow_pairs import panned_pair

from tsn.flow.engines import (
    FLOW_ENGINES,
    create_engine,
    flow_to_uint8,
    to_gray,
    tvl1_on_gpu,
    uint8_to_flow,
)
from tsn.flow.tvl1 import DEEP, Pyramid


@pytest.mark.parametrize(
    ("pixels", "stored"),
    [
        (0.0, 128),
        (0.05, 128),
        (-0.05, 127),
        (1.0, 134),
        (-1.0, 121),
        (10.0, 191),
        (-10.0, 64),
        (20.0, 255),
        (-20.0, 0),
        (99.0, 255),
        (-99.0, 0),
    ],
)
def test_flow_to_uint8_by_hand(pixels: float, stored: int) -> None:
    # round(255 (v + 20) / 40): 10 -> 191.25, -10 -> 63.75, 1 -> 133.875, -1 -> 121.125
    flow = np.full((2, 3, 2), pixels, dtype=np.float32)
    assert (flow_to_uint8(flow, bound=20.0) == stored).all()


def test_quantised_flow_comes_back_within_half_a_step() -> None:
    flow = np.random.default_rng(0).uniform(-8, 8, (20, 30, 2)).astype(np.float32)
    assert np.abs(uint8_to_flow(flow_to_uint8(flow, 8.0), 8.0) - flow).max() <= 8 / 255 + 1e-5
    every_value = np.arange(256, dtype=np.uint8).reshape(16, 8, 2)
    np.testing.assert_array_equal(flow_to_uint8(uint8_to_flow(every_value, 8.0), 8.0), every_value)


@pytest.mark.parametrize("name", FLOW_ENGINES)
def test_engine_finds_a_known_shift_in_pixels_x_first(name: str) -> None:
    gray0, gray1 = map(to_gray, panned_pair(dx=3, dy=-1))
    flow = create_engine(name, "cpu").compute(gray0[None], gray1[None])
    assert (flow.shape, flow.dtype) == ((1, 72, 96, 2), np.float32)
    np.testing.assert_allclose(flow[0, 10:-10, 10:-10].mean(axis=(0, 1)), [3.0, -1.0], atol=0.1)


@pytest.mark.parametrize("name", FLOW_ENGINES)
def test_engine_gives_the_same_bits_whatever_else_it_computes(name: str) -> None:
    gray0, gray1 = map(to_gray, panned_pair(2, 1))
    alone = create_engine(name, "cpu").compute(gray0[None], gray1[None])
    engine = create_engine(name, "cpu")
    together = engine.compute(np.stack([gray1, gray0]), np.stack([gray0, gray1]))
    np.testing.assert_array_equal(together[1:], alone)


def test_unknown_engine_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'magic'; valid: .*opencv"):
        create_engine("magic", "cpu")


def test_a_gpu_computes_on_its_own_device_and_no_more_pixels_than_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("triton", reason="Triton is not made for this platform")
    current, batches = [], []

    @contextmanager
    def device(name: str) -> Iterator[None]:  # stands for torch.cuda.device
        current.append(name)
        yield
        current.pop()

    def flow(gray0: torch.Tensor, gray1: torch.Tensor, _: Pyramid) -> torch.Tensor:
        assert current == ["cpu"]
        batches.append(len(gray0))
        return torch.stack([gray0, gray1], dim=-1).float()

    monkeypatch.setattr("torch.cuda.device", device)
    monkeypatch.setattr("tsn.flow.tvl1_gpu.tvl1_flow_batch", flow)
    monkeypatch.setattr("tsn.flow.engines._GPU_PIXELS", 2 * 12 + 5)
    grays = np.arange(2 * 5 * 12, dtype=np.uint8).reshape(2, 5, 3, 4)
    result = tvl1_on_gpu("cpu", DEEP).compute(*grays)
    assert batches == [2, 2, 1]
    np.testing.assert_array_equal(result, np.stack(grays, axis=-1))
