"""Pictures of modalities side by side (the paper's Figure 2).

Layout: images (H, W, 3) uint8 BGR, flow (H, W, 2) float32, x then y, in pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from tsn.drawing.flow_colours import colour_wheel, flow_colours
from tsn.drawing.image import GAP, Image, difference
from tsn.drawing.text import write_text
from tsn.flow.engines import Flow, flow_to_uint8
from tsn.flow.moments import Moment

_LEAST_WIDTH = 170
_TITLE = 18  # height
# Dark, so that white flow, which stands still, has an edge. BGR.
_GROUND, _LETTERS = (43, 34, 28), (238, 232, 228)


def modality_sheet(moments: Sequence[Moment], bound: float) -> Image:
    """Return a row per moment: frame, RGB difference, flow x and y as they are stored, flow in
    colours; the same of the warped flow ("unwarped" where no camera motion was found); and the key
    to the colours. Flow that a moment does not have is left out."""
    rows = []
    for moment in moments:
        pictures = [
            (moment.title, moment.frame0),
            ("RGB difference", difference(moment.frame0, moment.frame1)),
        ]
        if moment.flow is not None:
            pictures += _flow_pictures("flow", moment.flow, bound)
        if moment.warped is not None:
            name = "warped" if moment.supported else "unwarped"
            pictures += _flow_pictures(name, moment.warped, bound)
        rows.append(np.hstack([_panel(*picture) for picture in pictures]))
    if moments[0].flow is not None:
        rows.append(_key(rows[0].shape[1], bound))
    return np.vstack(rows)


def _flow_pictures(name: str, flow: Flow, bound: float) -> list[tuple[str, Image]]:
    stored = flow_to_uint8(flow, bound)
    planes = [cv2.cvtColor(stored[..., axis], cv2.COLOR_GRAY2BGR) for axis in range(2)]
    titles = [f"{name} x", f"{name} y", f"{name}, in colours"]
    images = [*planes, flow_colours(flow, full_strength(bound))]
    return list(zip(titles, images, strict=True))


def full_strength(bound: float) -> float:
    """Return the length of full colour: most flow is far below the bound at which it is clipped."""
    return bound / 4


def _panel(title: str, image: Image) -> Image:
    scale = -(-_LEAST_WIDTH // image.shape[1])
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    border = (_TITLE, GAP, GAP, GAP)
    frame = cv2.copyMakeBorder(enlarged, *border, cv2.BORDER_CONSTANT, value=_GROUND)
    picture = np.asarray(frame, dtype=np.uint8)
    write_text(picture, title, (GAP, _TITLE - 5), 0.4, _LETTERS)
    return picture


def _key(width: int, bound: float) -> Image:
    wheel = colour_wheel(61)
    strip = np.full((len(wheel) + 2 * GAP, width, 3), _GROUND, dtype=np.uint8)
    y, x = np.mgrid[-1:1:61j, -1:1:61j]
    disc = x**2 + y**2 <= 1
    strip[GAP:-GAP, GAP : GAP + len(wheel)][disc] = wheel[disc]
    for height, text in (
        (28, f"colours: direction, full at {full_strength(bound):g} pixels a frame"),
        (46, f"x, y as stored: grey is 0, black -{bound:g}, white {bound:g}"),
    ):
        write_text(strip, text, (len(wheel) + 3 * GAP, height), 0.4, _LETTERS)
    return strip
