"""The table of ways to start a network (section 3.2 and Table 1).

Letters: O output channels, h, w, C classes, D features.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from tsn.model.network import TemporalSegmentNetwork

RGB = "rgb"
SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights to start from.

    backbone: its tensors, named as inside a built one.
    classes: what the classifier tells apart, in label order; none where there is no classifier.
    classifier: its "weight" (C, D) and "bias" (C).
    dataset: the dataset of this project that they were trained on, "" for another origin.
    """

    backbone: "dict[str, Tensor]"
    classes: tuple[str, ...] = ()
    classifier: "dict[str, Tensor]" = field(default_factory=dict)
    dataset: str = ""


Sources = Mapping[str, Source]  # by the modality that the weights are for


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network to be started: of that modality, to tell a dataset's classes apart."""

    network: "TemporalSegmentNetwork"
    dataset: str
    modality: str
    classes: tuple[str, ...]
    sources: Sources


def copied(start: Start, source: Source) -> None:
    """Copy the weights as they are, and the classifier if there is one."""
    if source.classes and source.classes != start.classes:
        raise ValueError(f"initialisation: copied: {_other_classes(source.classes, start.classes)}")
    _load(start.network, source.backbone)
    if source.classes:
        from tsn.model.tensors import check_tensors

        check_tensors(source.classifier, start.network.fc.state_dict(), source="the classifier")
        start.network.fc.load_state_dict(source.classifier)


def cross_modality(start: Start, source: Source) -> None:
    """Copy the weights but for the first convolution, which is made from RGB's."""
    weights = dict(source.backbone)
    first = f"{start.network.row.first_conv}.weight"
    if first in weights:
        in_channels = start.network.backbone.state_dict()[first].shape[1]
        weights[first] = cross_modality_conv(weights[first], in_channels)
    _load(start.network, weights)


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """A row of the table.

    source: the modality whose weights a network of a modality starts from.
    load: starts a network from them.
    """

    source: Callable[[str], str]
    load: Callable[[Start, Source], None]


INITIALISATIONS: dict[str, Initialisation | None] = {
    SCRATCH: None,  # at its random weights
    "copied": Initialisation(source=lambda modality: modality, load=copied),
    "cross_modality": Initialisation(source=lambda _: RGB, load=cross_modality),
}


def cross_modality_conv(weight: "Tensor", in_channels: int) -> "Tensor":
    """Return first-layer weights (O, in_channels, h, w) from RGB weights (O, 3, h, w).

    Their mean over RGB, repeated for every input channel (section 3.2). Raises ValueError unless
    `weight` has 3 input channels.
    """
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise ValueError(f"expected RGB weights (O, 3, h, w), got {tuple(weight.shape)}")
    return weight.mean(dim=1, keepdim=True).repeat(1, in_channels, 1, 1)


def initialise(name: str, start: Start) -> None:
    """Start a network the way called `name`.

    Raises ValueError, with the backbone unchanged, where a source is missing or any of its tensors
    is missing, unexpected or of another shape, for a classifier of other classes, or of the same in
    another order, and for weights that were trained on the dataset itself.
    """
    check_source(name, start.modality, start.sources)
    row = INITIALISATIONS[name]
    if row is None:
        return
    source = start.sources[row.source(start.modality)]
    if source.dataset and source.dataset == start.dataset:
        raise ValueError(
            f"initialisation: {name}: the weights were trained on {start.dataset} itself, and have "
            "seen test videos of its other splits; start from another dataset's"
        )
    row.load(start, source)


def check_source(name: str, modality: str, there: Collection[str]) -> None:
    """Raise ValueError unless a network can start that way from weights of those modalities."""
    check_initialisation(name)
    row = INITIALISATIONS[name]
    if row is not None and (wanted := row.source(modality)) not in there:
        raise ValueError(
            f"initialisation: {name} needs weights of {wanted}, and init makes those of "
            f"{', '.join(there) or 'nothing'}; cross_modality takes RGB's, scratch takes none"
        )


def check_initialisation(name: str) -> None:
    """Raise ValueError, naming the valid ones, unless there is such a way to start."""
    if name not in INITIALISATIONS:
        valid = ", ".join(INITIALISATIONS)
        raise ValueError(f"unknown initialisation {name!r}; valid are: {valid}")


def _other_classes(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    if len(found) != len(wanted):
        return f"the checkpoint tells {len(found)} classes apart, the dataset has {len(wanted)}"
    label = next(i for i, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
    return (
        f"label {label} is {found[label]!r} in the checkpoint, {wanted[label]!r} in the dataset; "
        "name the classes in the checkpoint's order, or null to leave its classifier behind"
    )


def _load(network: "TemporalSegmentNetwork", weights: "Mapping[str, Tensor]") -> None:
    from tsn.model.tensors import check_tensors

    check_tensors(weights, network.backbone.state_dict(), source="initial weights")
    network.backbone.load_state_dict(weights)
