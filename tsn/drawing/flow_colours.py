"""Flow in colours.

Layout: images (H, W, 3) uint8 BGR, flow (H, W, 2) float32, x then y, in pixels.
"""

import numpy as np
import numpy.typing as npt

from tsn.drawing.image import Image

# Colours from one corner of the wheel to the next: red, yellow, green, cyan, blue, magenta, red.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = np.array(
    [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], dtype=np.float64
)


def flow_colours(flow: npt.NDArray[np.float32], bound: float) -> Image:
    """Return flow as colours: the hue is its direction, the strength its length up to `bound`.

    The wheel of Baker et al. (*A database and evaluation methodology for optical flow*, 2011):
    white stands still, red goes right, and what is faster than `bound` is darkened.
    """
    wheel = _wheel()
    length = np.linalg.norm(flow, axis=2) / bound
    turn = (np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    below = np.floor(turn).astype(int)
    share = (turn - below)[..., None]
    hue = (1 - share) * wheel[below] + share * wheel[(below + 1) % len(wheel)]
    rgb = np.where(length[..., None] <= 1, 1 - length[..., None] * (1 - hue), 0.75 * hue)
    return np.ascontiguousarray(np.floor(255 * rgb).astype(np.uint8)[..., ::-1])


def colour_wheel(size: int) -> Image:
    """Return the key to `flow_colours`: a disc whose rim is flow of length `bound`."""
    y, x = np.mgrid[:size, :size].astype(np.float32) * 2 / (size - 1) - 1
    flow = np.stack([x, y], axis=2)
    flow[np.linalg.norm(flow, axis=2) > 1] = 0
    return flow_colours(flow, 1.0)


def _wheel() -> npt.NDArray[np.float64]:
    """Return the (55, 3) colours around the wheel, RGB from 0 to 1, in steps of 1/255."""
    parts = [
        np.linspace(start, end, steps, endpoint=False)
        for start, end, steps in zip(_CORNERS, _CORNERS[1:], _STEPS, strict=False)
    ]
    return np.concatenate(parts)
