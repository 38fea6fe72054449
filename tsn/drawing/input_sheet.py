"""Pictures of what a network is shown (the paper's Figure 2), as BGR images.

Letters: B video, K segment, C channel, H, W.
"""

import numpy as np
from torch import Tensor

from tsn.drawing.image import Image, difference, framed
from tsn.modality import Modality


def input_sheet(snippets: Tensor, modality: Modality, scale: int) -> Image:
    """Return a row per video, its K segments side by side; snippets are (B, K, C, H, W) uint8.

    A frame is shown as it is, a difference around mid-grey, a flow field as its x and y planes.
    """
    rows = [
        np.hstack([framed(_snippet_image(planes, modality), scale) for planes in video])
        for video in snippets.numpy()
    ]
    return np.vstack(rows)


def _snippet_image(planes: Image, modality: Modality) -> Image:
    """Return the first entry (or difference) of a snippet (C, H, W) as (H, W or more, 3)."""
    step = modality.entry_channels
    first = planes[:step].transpose(1, 2, 0)
    if modality.difference:
        second = planes[step : 2 * step].transpose(1, 2, 0)
        return difference(first, second)
    if step == 3:
        return np.ascontiguousarray(first)
    beside = np.hstack([first[..., 0], first[..., 1]])
    return np.repeat(beside[..., None], 3, axis=2)
