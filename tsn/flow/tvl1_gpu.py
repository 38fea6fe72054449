"""TV-L1 on a GPU, for many pairs of frames at once: PyTorch around `tsn.flow.tvl1_kernels`.

One launch is one iteration of all pairs that have not converged; nothing of a pair depends on what
else is in the batch. Two launches go there and back between two sets of planes, so that every look
at the change finds the flow in the first.

Layout: gray (B, H, W) uint8, flow (B, H, W, 2) float32, x then y, in pixels. Inside, planes are
float32: `u` (B, 2, H, W); `p` (B, 4, H, W), the dual of u1 along x and y, then of u2.
"""

from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn.functional import pad

from tsn.flow.tvl1 import (
    CHECK_EVERY,
    CUBIC_A,
    EPSILON,
    GRADIENT_BLEND,
    INNER_ITERATIONS,
    LAMBDA,
    LEAST_SQUARED_GRADIENT,
    OUTER_ITERATIONS,
    TAU,
    THETA,
    Pyramid,
)
from tsn.flow.tvl1_kernels import iterate, linearise, median

BYTES_PER_PIXEL_ITERATION = (10 + 6) * 4  # read and written: u, p and the data term; u and p

_TILE_X, _TILE_Y = 64, 8
_LINEARISATION = {"BLEND": GRADIENT_BLEND, "A": CUBIC_A, "LEAST": LEAST_SQUARED_GRADIENT}
_CHANGE_UNIT = 2**24  # whole numbers of `change` in a squared pixel
_ITERATION = {"THETA": THETA, "REACH": LAMBDA * THETA, "STEP": TAU / THETA, "UNIT": _CHANGE_UNIT}


def tvl1_flow_batch(gray0: Tensor, gray1: Tensor, pyramid: Pyramid) -> Tensor:
    """Return the flow (B, H, W, 2) that takes points of `gray0` to `gray1`, (B, H, W) uint8."""
    flow, _ = solve(gray0, gray1, pyramid)
    return flow


def solve(gray0: Tensor, gray1: Tensor, pyramid: Pyramid) -> tuple[Tensor, Tensor]:
    """Return what `tvl1_flow_batch` does, and how many pixels were iterated on, summed over all
    iterations: a scalar on the device."""
    frames = (_levels(gray, pyramid) for gray in (gray0, gray1))
    levels = list(zip(*frames, pyramid.warps(*gray0.shape[1:]), strict=True))
    u = torch.zeros(len(gray0), 2, *levels[-1][0].shape[1:], device=gray0.device)
    pixel_iterations = torch.zeros((), dtype=torch.float64, device=gray0.device)
    for frame0, frame1, num_warps in reversed(levels):
        height, width = frame0.shape[1:]
        if u.shape[2:] != frame0.shape[1:]:
            scale = (u.shape[2] / height, u.shape[3] / width)
            u = _resize(u, (height, width), scale) * (1 / pyramid.step)
        u, iterations = _refine(frame0, frame1, u.contiguous(), num_warps)
        pixel_iterations += iterations.sum() * (height * width)
    return u.permute(0, 2, 3, 1).contiguous(), pixel_iterations


def _levels(gray: Tensor, pyramid: Pyramid) -> list[Tensor]:
    levels = [gray.float()]
    scale = (1 / pyramid.step, 1 / pyramid.step)
    for shape in pyramid.shapes(*gray.shape[1:])[1:]:
        levels.append(_resize(levels[-1], shape, scale).contiguous())
    return levels


def _resize(planes: Tensor, shape: tuple[int, int], scale: tuple[float, float]) -> Tensor:
    """Return (..., h, w) planes of another shape, linearly as OpenCV does: pixel centres `scale`
    pixels apart."""
    for axis, size, step in ((-1, shape[1], scale[1]), (-2, shape[0], scale[0])):
        last = planes.shape[axis] - 1
        centres = (torch.arange(size, device=planes.device, dtype=torch.float64) + 0.5) * step - 0.5
        centres = centres.clamp(0, last)
        below = centres.floor()
        share = (centres - below).float()
        if axis == -2:
            share = share[:, None]
        low = planes.index_select(axis, below.long())
        high = planes.index_select(axis, (below.long() + 1).clamp(max=last))
        planes = low * (1 - share) + high * share
    return planes


def _gradient(frame: Tensor) -> Tensor:
    """Return (B, 2, H, W): central differences along x and y."""
    wide = pad(frame[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    along_x = (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) * 0.5
    along_y = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) * 0.5
    return torch.stack([along_x, along_y], dim=1)


def _refine(frame0: Tensor, frame1: Tensor, u: Tensor, num_warps: int) -> tuple[Tensor, Tensor]:
    """Return the improved flow at one level, and the iterations (B,) that it took."""
    gradient0 = _gradient(frame0)
    linear1 = torch.cat([frame1[:, None], _gradient(frame1)], dim=1)
    level = _Level(u)
    for _ in range(num_warps):
        level.linearise(frame0, gradient0, linear1)
        level.minimise()
    return level.u, level.iterations


class _Level:
    """The planes of one level's iterations, and the launches on them."""

    def __init__(self, u: Tensor) -> None:
        pairs, _, self.height, self.width = u.shape
        self.u, self.next_u, self.filtered_u = u, torch.empty_like(u), torch.empty_like(u)
        self.p = u.new_zeros(pairs, 4, self.height, self.width)
        self.next_p, self.data = torch.empty_like(self.p), torch.empty_like(self.p)
        self.change, self.next_change, self.iterations = (
            torch.zeros(pairs, dtype=torch.int64, device=u.device) for _ in range(3)
        )
        self.round: torch.cuda.CUDAGraph | None = None
        self.is_compiled = False
        self.limit = round(EPSILON**2 * self.height * self.width * _CHANGE_UNIT)

    def linearise(self, frame0: Tensor, gradient0: Tensor, linear1: Tensor) -> None:
        """Write the data term around the flow so far."""
        self._launch(linearise, frame0, gradient0, linear1, self.u, self.data, **_LINEARISATION)

    def minimise(self) -> None:
        """Iterate on every pair until its own change is within the limit."""
        self.change.fill_(self.limit + 1)
        for _ in range(OUTER_ITERATIONS):
            self._replay_round()
            if not (self.change > self.limit).any().item():
                return

    def _replay_round(self) -> None:
        """Run a round: on a GPU the first by its launches, which compiles, all later ones of the
        level at once, as what was recorded of the second."""
        if self.round is None and self.is_compiled and self.u.is_cuda:
            self.round = torch.cuda.CUDAGraph()
            stream = torch.cuda.Stream(self.u.device)  # type: ignore[no-untyped-call]
            with torch.cuda.stream(stream):
                self.round.capture_begin(capture_error_mode="thread_local")
                self._round()
                self.round.capture_end()
        if self.round is None:
            self._round()
            self.is_compiled = True
        else:
            self.round.replay()

    def _round(self) -> None:
        """Filter the flow, and iterate as often as between two filters. `change` is where it was
        at the end, so that a recording of this can be followed by itself."""
        self._launch(median, self.u, self.filtered_u, self.change, self.limit)
        u, change, next_change = self.filtered_u, self.change, self.next_change
        for _ in range(INNER_ITERATIONS // CHECK_EVERY):  # which is 2
            self._iterate((u, self.p), (self.next_u, self.next_p), change, next_change, False)
            self._iterate((self.next_u, self.next_p), (self.u, self.p), change, next_change, True)
            change, next_change = next_change, change
            u = self.u
        self.change.copy_(change)

    def _iterate(
        self,
        before: tuple[Tensor, Tensor],
        after: tuple[Tensor, Tensor],
        change: Tensor,
        next_change: Tensor,
        second: bool,
    ) -> None:
        self._launch(
            iterate,
            *before,
            *after,
            self.data,
            change,
            next_change,
            self.iterations,
            self.limit,
            SECOND=second,
            **_ITERATION,
        )

    def _launch(self, kernel: Any, *arguments: object, **constants: object) -> None:
        tiles = triton.cdiv(self.width, _TILE_X) * triton.cdiv(self.height, _TILE_Y)
        kernel[(tiles, len(self.u))](
            *arguments,
            self.width,
            self.height,
            TX=_TILE_X,
            TY=_TILE_Y,
            **constants,
            enable_fp_fusion=True,
        )
