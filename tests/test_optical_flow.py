"""Flow: the stored form by hand, known motions, and camera motion taken out."""

from typing import Any

import cv2
import numpy as np
import pytest

from tsn.optical_flow import (
    Frame,
    HomographyConfig,
    create_engine,
    estimate_homography,
    flow_to_uint8,
    to_gray,
    uint8_to_flow,
    warped_flow,
)

CONFIG = HomographyConfig(
    max_corners=200, reprojection_threshold=1.0, min_matches=20, min_inliers=12
)


def texture(width: int, height: int) -> Frame:
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX), dtype=np.uint8)


def panned_pair(dx: int, dy: int) -> tuple[Frame, Frame]:
    """Two 96x72 views of one texture; every point moves by (dx, dy)."""
    scene = texture(140, 120)
    return scene[20:92, 20:116].copy(), scene[20 - dy : 92 - dy, 20 - dx : 116 - dx].copy()


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


def test_engine_finds_a_known_shift_in_pixels_x_first() -> None:
    frame0, frame1 = panned_pair(dx=3, dy=-1)
    flow = create_engine("opencv")(to_gray(frame0), to_gray(frame1))[10:-10, 10:-10]
    assert flow.dtype == np.float32
    np.testing.assert_allclose(flow.mean(axis=(0, 1)), [3.0, -1.0], atol=0.1)


def test_engine_gives_the_same_bits_again_after_another_pair() -> None:
    engine = create_engine("opencv")
    gray0, gray1 = map(to_gray, panned_pair(2, 1))
    first = engine(gray0, gray1)
    engine(gray1, gray0)
    np.testing.assert_array_equal(engine(gray0, gray1), first)


def test_unknown_engine_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'magic'; valid: .*opencv"):
        create_engine("magic")


def test_homography_recovers_a_known_one() -> None:
    scene = to_gray(texture(160, 120))
    true = np.array([[1.01, 0.02, 2.5], [-0.015, 0.99, -1.5], [1e-5, -2e-5, 1.0]])
    moved = np.asarray(cv2.warpPerspective(scene, true, (160, 120)), dtype=np.uint8)
    found = estimate_homography(scene, moved, CONFIG)
    assert found is not None
    corners = np.array([[[30, 30]], [[130, 30]], [[130, 90]], [[30, 90]]], dtype=np.float32)
    np.testing.assert_allclose(
        cv2.perspectiveTransform(corners, found),
        cv2.perspectiveTransform(corners, true),
        atol=0.25,
    )


def test_homography_is_the_same_bits_every_time() -> None:
    gray0, gray1 = map(to_gray, panned_pair(4, 2))
    first = estimate_homography(gray0, gray1, CONFIG)
    cv2.setRNGSeed(12345)
    again = estimate_homography(gray0, gray1, CONFIG)
    assert first is not None and again is not None
    np.testing.assert_array_equal(first, again)


def test_warped_flow_of_a_pan_is_zero_where_flow_is_the_pan() -> None:
    frame0, frame1 = panned_pair(dx=5, dy=2)
    engine = create_engine("opencv")
    plain = engine(to_gray(frame0), to_gray(frame1))
    warped, supported = warped_flow(frame0, frame1, engine, CONFIG)
    assert supported
    np.testing.assert_allclose(plain[10:-10, 10:-10].mean(axis=(0, 1)), [5.0, 2.0], atol=0.2)
    assert np.abs(warped).mean() < 0.05  # to the very border, where the first frame is repeated
    assert np.abs(warped).max() < 1.0


def test_warped_flow_keeps_what_moves_by_itself() -> None:
    frame0, frame1 = panned_pair(dx=4, dy=0)
    patch = texture(200, 90)[60:84, 150:174]
    frame0[24:48, 30:54] = patch
    frame1[24 + 3 : 48 + 3, 30 + 4 : 54 + 4] = patch  # pans along, and falls 3 pixels
    flow, supported = warped_flow(frame0, frame1, create_engine("opencv"), CONFIG)
    assert supported
    np.testing.assert_allclose(np.median(flow[30:42, 36:48], axis=(0, 1)), [0.0, 3.0], atol=0.3)
    np.testing.assert_allclose(np.median(flow[:, 65:], axis=(0, 1)), [0.0, 0.0], atol=0.1)


@pytest.mark.parametrize("kind", ["flat", "unrelated"])
def test_without_support_the_flow_is_the_plain_one(kind: str) -> None:
    frame0 = frame1 = np.full((72, 96, 3), 120, dtype=np.uint8)
    if kind == "unrelated":
        scene = texture(200, 160)
        frame0, frame1 = scene[:72, :96], scene[80:152, 100:196]
    engine = create_engine("opencv")
    flow, supported = warped_flow(frame0, frame1, engine, CONFIG)
    assert not supported
    np.testing.assert_array_equal(flow, engine(to_gray(frame0), to_gray(frame1)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_corners", 0), ("reprojection_threshold", 0.0), ("min_matches", 3), ("min_inliers", 30)],
)
def test_bad_settings_are_named(name: str, value: Any) -> None:
    settings = {
        "max_corners": 200,
        "reprojection_threshold": 1.0,
        "min_matches": 20,
        "min_inliers": 12,
        name: value,
    }
    with pytest.raises(ValueError, match=name):
        HomographyConfig(**settings)
