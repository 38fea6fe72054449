"""TV-L1 on the CPU against true flow and OpenCV's DualTVL1, and on frames of odd kinds."""

import numpy as np
import pytest
from flow_pairs import Flow, Gray, mean_endpoint_error, recovered_share, shifted_pair, waving_pair
from small_configs import SYNTHETIC as CLIPS

from tsn.flow.engines import create_engine, to_gray
from tsn.flow.tvl1 import DEEP, OPENCV3, Pyramid
from tsn.flow.tvl1_cpu import tvl1_flow
from tsn.sources.synthetic import clip_specs, render_clip, true_flow


def rendered_pairs() -> list[tuple[Gray, Gray, Flow]]:
    pairs = []
    for spec in clip_specs(CLIPS)[::4]:
        frames = render_clip(spec, CLIPS)
        pairs.append((to_gray(frames[3]), to_gray(frames[4]), true_flow(spec, CLIPS)[3]))
    return pairs


@pytest.mark.parametrize("kind", ["rendered", "waving"])
def test_true_flow_is_met_no_worse_than_by_opencv(kind: str) -> None:
    pairs = rendered_pairs() if kind == "rendered" else [waving_pair(a) for a in (0.3, 1.0, 2.5)]
    opencv = create_engine("opencv", "cpu")
    ours, theirs = [], []
    for gray0, gray1, truth in pairs:
        ours.append(mean_endpoint_error(tvl1_flow(gray0, gray1, DEEP), truth))
        reference = opencv.compute(gray0[None], gray1[None])[0]
        theirs.append(mean_endpoint_error(reference, truth))
    assert max(o / t for o, t in zip(ours, theirs, strict=True)) <= 1.05
    assert np.mean(ours) < np.mean(theirs) < 0.25


def test_it_is_opencvs_algorithm() -> None:
    gray0, gray1, truth = waving_pair(2.0)
    reference = create_engine("opencv", "cpu").compute(gray0[None], gray1[None])[0]
    assert mean_endpoint_error(tvl1_flow(gray0, gray1, OPENCV3), reference) < 0.05
    assert mean_endpoint_error(np.zeros_like(truth), reference) > 1.5


def test_equal_frames_have_no_flow_and_the_same_frames_the_same_bits() -> None:
    gray0, gray1, _ = waving_pair(1.0)
    np.testing.assert_array_equal(tvl1_flow(gray0, gray0, DEEP), 0)
    flow = tvl1_flow(gray0, gray1, DEEP)
    np.testing.assert_array_equal(tvl1_flow(gray0, gray1, DEEP), flow)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (17, 16), (40, 200)])
def test_frames_of_any_size_give_finite_flow(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    gray0, gray1 = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    flow = tvl1_flow(gray0, gray1, DEEP)
    assert (flow.shape, flow.dtype) == ((*shape, 2), np.float32)
    assert np.isfinite(flow).all()


def test_flat_frames_of_other_brightness_have_no_flow() -> None:
    dark, bright = np.full((30, 40), 20, np.uint8), np.full((30, 40), 220, np.uint8)
    np.testing.assert_array_equal(tvl1_flow(dark, bright, DEEP), 0)


@pytest.mark.parametrize(("dx", "dy"), [(16, 0), (0, -16), (20, 0), (-12, 16), (0, 20)])
@pytest.mark.parametrize("blur", [0.0, 1.0, 4.0])
def test_a_shift_of_up_to_20_pixels_is_recovered(dx: int, dy: int, blur: float) -> None:
    pair = shifted_pair(dx, dy, blur)
    assert 0.95 <= recovered_share(tvl1_flow(*pair, DEEP), dx, dy) <= 1.05


def test_opencv3s_pyramid_loses_fast_motion_as_opencv_does() -> None:
    pair = shifted_pair(20, 0, 4.0)
    opencv = create_engine("opencv", "cpu").compute(*(gray[None] for gray in pair))[0]
    assert recovered_share(opencv, 20, 0) < 0.8
    assert recovered_share(tvl1_flow(*pair, OPENCV3), 20, 0) < 0.8


@pytest.mark.parametrize(
    ("pyramid", "size", "levels"),
    [
        # 24 * 0.77 = 18.48, 13.86, 10.78, 8.47, 6.16, then 4.62: too small
        # 99 * 0.77 = 76.23, 58.52, 45.43, 34.65, 26.95
        (DEEP, (24, 99), [(24, 99), (18, 76), (14, 59), (11, 45), (8, 35), (6, 27)]),
        # 340 * 0.8 = 272, 217.6, 174.4, 139.2; 256 * 0.8 = 204.8, 164, 131.2, 104.8
        (OPENCV3, (256, 340), [(256, 340), (205, 272), (164, 218), (131, 174), (105, 139)]),
        # 24 * 0.8 = 19.2, then 15.2: too small
        (OPENCV3, (24, 99), [(24, 99), (19, 79)]),
        (DEEP, (1, 1), [(1, 1)]),
    ],
)
def test_pyramid_by_hand(
    pyramid: Pyramid, size: tuple[int, int], levels: list[tuple[int, int]]
) -> None:
    assert pyramid.shapes(*size) == levels


def test_warps_by_hand() -> None:
    assert DEEP.warps(24, 99) == [4, 3, 3, 3, 3, 3]
    assert DEEP.warps(1, 1) == [4]
    assert OPENCV3.warps(256, 340) == [5, 5, 5, 5, 5]
