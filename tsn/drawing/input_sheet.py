"""Pictures of what a network is shown (the paper's Figure 2), as BGR images.

Letters: B video, K segment, C channel, H, W.
"""

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from tsn.modality import Modality

Image = npt.NDArray[np.uint8]
GAP = 4


def input_sheet(snippets: Tensor, modality: Modality, scale: int) -> Image:
    """One row per video, its K segments side by side; snippets are (B, K, C, H, W) uint8.

    A frame is shown as it is, a difference around mid-grey, a flow field as its x and y planes.
    """
    rows = [
        np.hstack([_framed(_snippet_image(planes, modality), scale) for planes in video])
        for video in snippets.numpy()
    ]
    sheet: Image = np.vstack(rows)
    return sheet


def _snippet_image(planes: Image, modality: Modality) -> Image:
    """The first entry (or difference) of a snippet (C, H, W) as an image (H, W or more, 3)."""
    step = modality.entry_channels
    first = planes[:step].transpose(1, 2, 0)
    if modality.difference:
        second = planes[step : 2 * step].transpose(1, 2, 0)
        difference = 128 + second.astype(np.int16) - first
        shown: Image = np.clip(difference, 0, 255).astype(np.uint8)
        return shown
    if step == 3:
        return np.ascontiguousarray(first)
    beside = np.hstack([first[..., 0], first[..., 1]])
    return np.repeat(beside[..., None], 3, axis=2)


def _framed(image: Image, scale: int) -> Image:
    enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    framed: Image = cv2.copyMakeBorder(
        enlarged, GAP, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    return framed
