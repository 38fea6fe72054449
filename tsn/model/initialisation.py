"""The table of ways to start a network's backbone (section 3.2 and Table 1).

Letters: O output channels, h, w.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from tsn.model.network import TemporalSegmentNetwork
from tsn.model.tensors import check_tensors

Weights = dict[str, Tensor]
Sources = Mapping[str, Weights]  # what there is to start from, by the modality that it is for
RGB = "rgb"
SCRATCH = "scratch"


def from_scratch(_network: TemporalSegmentNetwork, _sources: Sources, _modality: str) -> None:
    """Leave the network at its random weights."""


def copied(network: TemporalSegmentNetwork, sources: Sources, modality: str) -> None:
    """Copy the weights that there are for the modality."""
    if modality not in sources:
        raise ValueError(
            f"initialisation: copied: init makes weights of {', '.join(sources) or 'nothing'}, "
            f"none of {modality}; cross_modality makes them from RGB's, scratch takes none"
        )
    _load(network, sources[modality])


def cross_modality(network: TemporalSegmentNetwork, sources: Sources, modality: str) -> None:
    """Copy RGB's weights but for the first convolution, which is made from RGB's."""
    if RGB not in sources:
        raise ValueError(
            f"initialisation: cross_modality: init makes no weights of RGB for {modality} to start "
            "from; scratch takes none"
        )
    weights = dict(sources[RGB])
    first = f"{network.row.first_conv}.weight"
    if first in weights:
        in_channels = network.backbone.state_dict()[first].shape[1]
        weights[first] = cross_modality_conv(weights[first], in_channels)
    _load(network, weights)


INITIALISATIONS: dict[str, Callable[[TemporalSegmentNetwork, Sources, str], None]] = {
    SCRATCH: from_scratch,
    "copied": copied,
    "cross_modality": cross_modality,
}


def cross_modality_conv(weight: Tensor, in_channels: int) -> Tensor:
    """Return first-layer weights (O, in_channels, h, w) from RGB weights (O, 3, h, w).

    Their mean over RGB, repeated for every input channel (section 3.2). Raises ValueError unless
    `weight` has 3 input channels.
    """
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise ValueError(f"expected RGB weights (O, 3, h, w), got {tuple(weight.shape)}")
    return weight.mean(dim=1, keepdim=True).repeat(1, in_channels, 1, 1)


def initialise(
    network: TemporalSegmentNetwork, name: str, sources: Sources, *, modality: str
) -> None:
    """Start a network's backbone the way called `name`.

    Raises ValueError, with the network unchanged, where a source is missing or any of its tensors
    is missing, unexpected or of another shape.
    """
    check_initialisation(name)
    INITIALISATIONS[name](network, sources, modality)


def check_initialisation(name: str) -> None:
    """Raise ValueError, naming the valid ones, unless there is such a way to start."""
    if name not in INITIALISATIONS:
        valid = ", ".join(INITIALISATIONS)
        raise ValueError(f"unknown initialisation {name!r}; valid are: {valid}")


def _load(network: TemporalSegmentNetwork, weights: Weights) -> None:
    check_tensors(weights, network.backbone.state_dict(), source="initial weights")
    network.backbone.load_state_dict(weights)
