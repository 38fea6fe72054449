"""From uint8 snippets to the float input of a network, on whatever device they are."""

import torch
from torch import Tensor

from tsn.modality import Modality


def normalise(snippets: Tensor, modality: Modality) -> Tensor:
    """uint8 snippets (..., C, H, W) as the float input of the network: differences, minus mean."""
    values = snippets.float()
    if modality.difference:
        step = modality.entry_channels
        values = values[..., step:, :, :] - values[..., :-step, :, :]
    mean = torch.tensor(modality.mean, device=values.device)
    repeats = modality.channels // modality.entry_channels
    return values - mean.repeat(repeats).view(-1, 1, 1)
