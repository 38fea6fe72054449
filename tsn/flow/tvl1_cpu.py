"""TV-L1 on one CPU core: loops compiled by numba, with OpenCV for gradients, median and resizing.

A sweep runs two iterations at once, the second two rows behind the one before it, so that a row
is still in the cache when its next iteration comes. Compiled code is kept by numba beside this
file, or in the user's cache folder; the first run of a machine compiles for some seconds.

Layout: gray (H, W) uint8, flow (H, W, 2) float32, x then y, in pixels. Inside, everything is
float32: `flow` (2, H, W); `dual` (2, 2, H, W), component of the flow, then direction.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from tsn.flow.tvl1 import (
    CHECK_EVERY,
    CUBIC_A,
    EPSILON,
    GRADIENT_BLEND,
    INNER_ITERATIONS,
    LAMBDA,
    LEAST_SQUARED_GRADIENT,
    MEDIAN_SIZE,
    OUTER_ITERATIONS,
    TAU,
    THETA,
    Pyramid,
)

Gray = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_F = np.float32
_ONE = _F(1)
_DERIVATIVE = np.array([[-0.5, 0.0, 0.5]], dtype=np.float32)


class _Numbers(NamedTuple):
    """What compiled code takes from `tsn.flow.tvl1`. Arguments, as numba would keep globals of
    another module compiled in when that module changes."""

    theta: np.float32
    reach: np.float32  # how far the data term moves u in one iteration
    step: np.float32
    blend: np.float32
    cubic_a: np.float32
    least_squared_gradient: np.float32
    check_every: int


_NUMBERS = _Numbers(
    theta=_F(THETA),
    reach=_F(LAMBDA * THETA),
    step=_F(TAU / THETA),
    blend=_F(GRADIENT_BLEND),
    cubic_a=_F(CUBIC_A),
    least_squared_gradient=_F(LEAST_SQUARED_GRADIENT),
    check_every=CHECK_EVERY,
)

_compiled = njit(cache=True, fastmath=True, error_model="numpy", nogil=True)


def tvl1_flow(gray0: Gray, gray1: Gray, pyramid: Pyramid) -> Floats:
    """Return the flow (H, W, 2) that takes points of `gray0` to `gray1`."""
    frames = (_levels(gray, pyramid) for gray in (gray0, gray1))
    levels = list(zip(*frames, pyramid.warps(*gray0.shape), strict=True))
    flow = np.zeros((2, *levels[-1][0].shape), dtype=np.float32)
    for frame0, frame1, num_warps in reversed(levels):
        if flow.shape[1:] != frame0.shape:
            flow = _upsample(flow, frame0.shape) * _F(1 / pyramid.step)
        _refine(frame0, frame1, flow, num_warps)
    return np.ascontiguousarray(flow.transpose(1, 2, 0))


def _levels(gray: Gray, pyramid: Pyramid) -> list[Floats]:
    levels = [gray.astype(np.float32)]
    for height, width in pyramid.shapes(*gray.shape)[1:]:
        smaller = cv2.resize(levels[-1], None, fx=pyramid.step, fy=pyramid.step)
        assert smaller.shape == (height, width)
        levels.append(smaller)
    return levels


def _upsample(flow: Floats, shape: tuple[int, int]) -> Floats:
    height, width = shape
    return np.stack([cv2.resize(component, (width, height)) for component in flow])


def _refine(frame0: Floats, frame1: Floats, flow: Floats, num_warps: int) -> None:
    """Improve `flow` in place at one level."""
    height, width = frame0.shape
    gradient0 = _gradient(frame0)
    # The bicubic kernel reaches one pixel back and two ahead.
    linear1 = np.pad([frame1, *_gradient(frame1)], ((0, 0), (1, 2), (1, 2)), mode="edge")
    dual = np.zeros((2, 2, height, width), dtype=np.float32)
    limit = EPSILON**2 * height * width
    for _ in range(num_warps):
        data = _linearise(frame0, gradient0, linear1.reshape(3, -1), flow, _NUMBERS)
        _minimise(flow, dual, data, limit)


def _gradient(frame: Floats) -> Floats:
    """Return (2, H, W): central differences along x and y."""
    x = cv2.filter2D(frame, -1, _DERIVATIVE, borderType=cv2.BORDER_REPLICATE)
    y = cv2.filter2D(frame, -1, _DERIVATIVE.T, borderType=cv2.BORDER_REPLICATE)
    return np.stack([x, y])


def _minimise(flow: Floats, dual: Floats, data: Floats, limit: float) -> None:
    """Iterate on `flow` and `dual` in place until the summed squared change is within `limit`."""
    for _ in range(OUTER_ITERATIONS):
        for component in flow:
            component[:] = cv2.medianBlur(component, MEDIAN_SIZE)
        for _ in range(INNER_ITERATIONS // CHECK_EVERY):
            if _sweep(flow, dual, data, _NUMBERS) <= limit:
                return


@_compiled
def _linearise(
    frame0: Floats, gradient0: Floats, linear1: Floats, flow: Floats, numbers: _Numbers
) -> Floats:
    """Return the data term (4, H, W): Ix, Iy, 1 / (Ix^2 + Iy^2), and rho at u = 0.

    `linear1` holds the second frame and its gradient, (3, (H + 3) * (W + 3)), to be read at where
    the flow leads. The data term is 0 where that is out of the frame.
    """
    height, width = frame0.shape
    stride = np.int32(width + 3)
    frame1, gradient1_x, gradient1_y = linear1[0], linear1[1], linear1[2]
    data = np.zeros((4, height, width), dtype=np.float32)
    corners = np.empty(width, dtype=np.int32)
    across = np.empty((4, width), dtype=np.float32)
    down = np.empty((4, width), dtype=np.float32)
    for y in range(height):
        for x in range(width):  # apart from the reading below, as this loop vectorises
            to_x = min(max(_F(x) + flow[0, y, x], _F(0)), _F(width - 1))
            to_y = min(max(_F(y) + flow[1, y, x], _F(0)), _F(height - 1))
            left, top = np.int32(to_x), np.int32(to_y)
            corners[x] = top * stride + left
            _cubic_weights(to_x - _F(left), numbers.cubic_a, across, x)
            _cubic_weights(to_y - _F(top), numbers.cubic_a, down, x)
        for x in range(width):
            u1, u2 = flow[0, y, x], flow[1, y, x]
            to_x, to_y = _F(x) + u1, _F(y) + u2
            if not (0 <= to_x <= width - 1 and 0 <= to_y <= height - 1):
                continue
            warped1 = _cubic(frame1, corners[x], stride, across, down, x)
            warped_x = _cubic(gradient1_x, corners[x], stride, across, down, x)
            warped_y = _cubic(gradient1_y, corners[x], stride, across, down, x)
            ix = (_ONE - numbers.blend) * warped_x + numbers.blend * gradient0[0, y, x]
            iy = (_ONE - numbers.blend) * warped_y + numbers.blend * gradient0[1, y, x]
            squared = ix * ix + iy * iy
            data[0, y, x] = ix
            data[1, y, x] = iy
            if squared > numbers.least_squared_gradient:
                data[2, y, x] = _ONE / squared
            data[3, y, x] = warped1 - frame0[y, x] - ix * u1 - iy * u2
    return data


@_compiled
def _cubic_weights(t: np.float32, a: np.float32, weights: Floats, x: int) -> None:
    """Write the weights of the four pixels around `t`, which lies between the second and third."""
    far, near = _ONE + t, _ONE - t
    weights[0, x] = ((a * far - _F(5) * a) * far + _F(8) * a) * far - _F(4) * a
    weights[1, x] = ((a + _F(2)) * t - (a + _F(3))) * t * t + _ONE
    weights[2, x] = ((a + _F(2)) * near - (a + _F(3))) * near * near + _ONE
    weights[3, x] = _ONE - weights[0, x] - weights[1, x] - weights[2, x]


@_compiled
def _cubic(
    image: Floats, corner: np.int32, stride: np.int32, across: Floats, down: Floats, x: int
) -> np.float32:
    """Return a flat image's value between the sixteen pixels whose first is at `corner`."""
    total = _F(0)
    place = np.uint32(corner)  # an unsigned index spares the check for negative ones
    for row in range(4):
        total += down[row, x] * (
            across[0, x] * image[place]
            + across[1, x] * image[place + np.uint32(1)]
            + across[2, x] * image[place + np.uint32(2)]
            + across[3, x] * image[place + np.uint32(3)]
        )
        place += np.uint32(stride)
    return total


@_compiled
def _sweep(flow: Floats, dual: Floats, data: Floats, numbers: _Numbers) -> float:
    """Run `check_every` iterations in place; return the summed squared change of the last one."""
    height, last = data.shape[1], numbers.check_every - 1
    change = 0.0
    for front in range(height + 1 + 2 * last):
        for iteration in range(last + 1):
            y = front - 2 * iteration
            if 0 <= y < height:
                row_change = _update_flow_row(flow, dual, data, y, numbers)
                if iteration == last:
                    change += row_change
            if 0 < y <= height:
                _update_dual_row(flow[0], dual[0], y - 1, numbers.step)
                _update_dual_row(flow[1], dual[1], y - 1, numbers.step)
    return change


@_compiled
def _update_flow_row(flow: Floats, dual: Floats, data: Floats, y: int, numbers: _Numbers) -> float:
    """Improve row `y` of both components in place; return the summed squared change."""
    u1, u2 = flow[0, y], flow[1, y]
    p1x, p1y, p2x, p2y = dual[0, 0, y], dual[0, 1, y], dual[1, 0, y], dual[1, 1, y]
    above = max(y - 1, 0)
    p1y_above, p2y_above = dual[0, 1, above], dual[1, 1, above]
    has_above = _F(y > 0)
    ix, iy, inverse, rho = data[0, y], data[1, y], data[2, y], data[3, y]
    change = _F(0)
    for x in range(u1.shape[0]):
        residual = rho[x] + ix[x] * u1[x] + iy[x] * u2[x]
        along = min(max(-residual * inverse[x], -numbers.reach), numbers.reach)
        left1 = p1x[x - 1] if x > 0 else _F(0)
        left2 = p2x[x - 1] if x > 0 else _F(0)
        div1 = p1x[x] - left1 + p1y[x] - has_above * p1y_above[x]
        div2 = p2x[x] - left2 + p2y[x] - has_above * p2y_above[x]
        new1 = u1[x] + along * ix[x] + numbers.theta * div1
        new2 = u2[x] + along * iy[x] + numbers.theta * div2
        change += (new1 - u1[x]) ** 2 + (new2 - u2[x]) ** 2
        u1[x] = new1
        u2[x] = new2
    return float(change)


@_compiled
def _update_dual_row(flow: Floats, dual: Floats, y: int, step: np.float32) -> None:
    """Improve row `y` of one component's dual (2, H, W) in place."""
    height, width = flow.shape
    u, u_below = flow[y], flow[min(y + 1, height - 1)]
    px, py = dual[0, y], dual[1, y]
    for x in range(width):
        dx = u[x + 1] - u[x] if x < width - 1 else _F(0)
        dy = u_below[x] - u[x]
        scale = _ONE / (_ONE + step * np.sqrt(dx * dx + dy * dy))
        px[x] = (px[x] + step * dx) * scale
        py[x] = (py[x] + step * dy) * scale
