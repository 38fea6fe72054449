"""From uint8 snippets to the float input of a network, on whatever device they are."""

from functools import cache

import torch
from torch import Tensor

from tsn.modality import Modality
from tsn.model.backbone import InputValues


def normalise(snippets: Tensor, modality: Modality, inputs: InputValues) -> Tensor:
    """Return uint8 snippets (..., C, H, W) as the float input of a network.

    Differences are taken, what stands for nothing becomes 0, and values are scaled as the network's
    backbone expects.
    """
    values = snippets.to(torch.float32, copy=True)
    step = modality.entry_channels
    if modality.difference:
        values = values[..., step:, :, :] - values[..., :-step, :, :]
    of_images = step == len(inputs.mean)  # not of flow, which has no colours
    if of_images and inputs.colours == "rgb":
        images = values.reshape(*values.shape[:-3], -1, step, *values.shape[-2:])
        values = images.flip(-3).flatten(-4, -3)
    repeats = modality.channels // step
    mean = inputs.mean if modality.centre is None else (modality.centre,) * step
    values -= _per_channel(mean, repeats, values.device)
    if inputs.std is not None:
        std = inputs.std if of_images else (sum(inputs.std) / len(inputs.std),) * step
        values /= _per_channel(std, repeats, values.device)
    return values


@cache  # or each would wait for a copy to the device
def _per_channel(numbers: tuple[float, ...], repeats: int, device: torch.device) -> Tensor:
    """Return numbers of an entry's channels for all of a snippet's, as (C, 1, 1)."""
    with torch.inference_mode(False):
        return torch.tensor(numbers, device=device).repeat(repeats).view(-1, 1, 1)
