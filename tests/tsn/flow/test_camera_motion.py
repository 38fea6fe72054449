"""Camera motion: known homographies, pans taken out, and what has no support."""

from typing import Any

import cv2
import numpy as np
import pytest
from flow_pairs import panned_pair
from videos import texture

from tsn.flow import camera_motion
from tsn.flow.camera_motion import (
    GrayFrame,
    HomographyConfig,
    estimate_homography,
    take_out_camera_motion,
)
from tsn.flow.engines import Flow, Gray, create_engine, to_gray

CONFIG = HomographyConfig(
    max_corners=200, reprojection_threshold=1.0, min_matches=20, min_inliers=12
)


def tvl1(gray0: Gray, gray1: Gray) -> Flow:
    return create_engine("tvl1", "cpu").compute(gray0[None], gray1[None])[0]


def test_homography_recovers_a_known_one() -> None:
    scene = to_gray(texture(160, 120))
    true = np.array([[1.01, 0.02, 2.5], [-0.015, 0.99, -1.5], [1e-5, -2e-5, 1.0]])
    moved = np.asarray(cv2.warpPerspective(scene, true, (160, 120)), dtype=np.uint8)
    found = estimate_homography(GrayFrame(scene), GrayFrame(moved), CONFIG)
    assert found is not None
    corners = np.array([[[30, 30]], [[130, 30]], [[130, 90]], [[30, 90]]], dtype=np.float32)
    np.testing.assert_allclose(
        cv2.perspectiveTransform(corners, found),
        cv2.perspectiveTransform(corners, true),
        atol=0.25,
    )


@pytest.mark.parametrize("shift", [3, 45])  # tracked; by features
def test_homography_is_the_same_bits_every_time(shift: int) -> None:
    scene = to_gray(texture(320, 160))
    frames = scene[:, 60:260], scene[:, 60 - shift : 260 - shift]
    first = estimate_homography(*map(GrayFrame, frames), CONFIG)
    cv2.setRNGSeed(12345)
    again = estimate_homography(*map(GrayFrame, frames), CONFIG)
    assert first is not None and again is not None
    np.testing.assert_array_equal(first, again)


def test_warped_flow_of_a_pan_is_zero_where_flow_is_the_pan() -> None:
    gray0, gray1 = map(to_gray, panned_pair(dx=5, dy=2))
    plain = tvl1(gray0, gray1)
    steady1, supported = take_out_camera_motion(GrayFrame(gray0), GrayFrame(gray1), CONFIG)
    warped = tvl1(gray0, steady1)
    assert supported
    np.testing.assert_allclose(plain[10:-10, 10:-10].mean(axis=(0, 1)), [5.0, 2.0], atol=0.2)
    assert np.abs(warped).mean() < 0.05  # to the very border, where the first frame is repeated
    assert np.abs(warped).max() < 1.0


def test_warped_flow_keeps_what_moves_by_itself() -> None:
    frame0, frame1 = panned_pair(dx=4, dy=0)
    patch = texture(200, 90)[60:84, 150:174]
    frame0[24:48, 30:54] = patch
    frame1[24 + 3 : 48 + 3, 30 + 4 : 54 + 4] = patch  # pans along, and falls 3 pixels
    gray0, gray1 = to_gray(frame0), to_gray(frame1)
    steady1, supported = take_out_camera_motion(GrayFrame(gray0), GrayFrame(gray1), CONFIG)
    flow = tvl1(gray0, steady1)
    assert supported
    np.testing.assert_allclose(np.median(flow[30:42, 36:48], axis=(0, 1)), [0.0, 3.0], atol=0.3)
    np.testing.assert_allclose(np.median(flow[:, 65:], axis=(0, 1)), [0.0, 0.0], atol=0.1)


@pytest.mark.parametrize(("shift", "asked"), [(3, False), (45, True)])
def test_features_are_sought_once_where_tracking_loses_the_way(
    shift: int, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_in = []
    find = camera_motion._find_features
    monkeypatch.setattr(
        camera_motion, "_find_features", lambda gray: found_in.append(gray) or find(gray)
    )
    scene = to_gray(texture(320, 160))
    frame0, frame1 = GrayFrame(scene[:, 60:260]), GrayFrame(scene[:, 60 - shift : 260 - shift])
    found = estimate_homography(frame0, frame1, CONFIG)
    assert found is not None
    np.testing.assert_allclose(found, [[1, 0, shift], [0, 1, 0], [0, 0, 1]], atol=0.2)
    estimate_homography(frame0, frame1, CONFIG)
    assert len(found_in) == (2 if asked else 0)


@pytest.mark.parametrize("kind", ["flat", "unrelated"])
def test_without_support_the_frame_stays_as_it_is(kind: str) -> None:
    frame0 = frame1 = np.full((72, 96, 3), 120, dtype=np.uint8)
    if kind == "unrelated":
        scene = texture(200, 160)
        frame0, frame1 = scene[:72, :96], scene[80:152, 100:196]
    gray1, supported = take_out_camera_motion(
        GrayFrame(to_gray(frame0)), GrayFrame(to_gray(frame1)), CONFIG
    )
    assert not supported
    np.testing.assert_array_equal(gray1, to_gray(frame1))


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
