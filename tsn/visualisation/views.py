"""Pictures of what a network looks for, as people see them. Layout: images (H, W, 3) uint8 BGR."""

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tsn.drawing.flow_colours import flow_colours
from tsn.drawing.image import Image
from tsn.modality import Modality
from tsn.visualisation.ascent import MIDDLE

STRONGEST = 98.0  # the percentile of a picture that is shown at full strength
ROUNDED_UP = 1 + 1e-6  # a length of 1 may be a bit more, which `flow_colours` would darken
WEAKEST = 4.0  # values; what is weaker is not made to look strong


def views(picture: Tensor, modality: Modality) -> dict[str, Image]:
    """Return a picture (E, H, W) of `ascend` as images, by what they show.

    A frame is shown as it is. Of a difference and of flow, zero is mid-grey, and what is strongest
    in the picture has full strength: flow as x and y in grey, and as colours.
    """
    values = picture.cpu().numpy().transpose(1, 2, 0)
    if modality.centre is None:
        return {"": _image(values)}
    change = values - MIDDLE
    reach = max(float(np.percentile(np.abs(change), STRONGEST)), WEAKEST)
    stretched = MIDDLE + change * (127 / reach)
    if modality.entry_channels == 3:
        return {"": _image(stretched)}
    lengths = np.linalg.norm(change, axis=2, keepdims=True)
    longest = max(float(np.percentile(lengths, STRONGEST)), WEAKEST)
    planes = {name: stretched[..., [axis] * 3] for axis, name in enumerate(("x", "y"))}
    unit = change / np.maximum(lengths, longest)  # a length of 1 at most
    colours = flow_colours(np.ascontiguousarray(unit, dtype=np.float32), ROUNDED_UP)
    return {name: _image(plane) for name, plane in planes.items()} | {"in colours": colours}


def _image(values: npt.NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
