"""The closed table of backbones: networks that turn images (N, C, H, W) into features (N, D)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tsn.model.bn_inception import FEATURE_DIM, BNInception


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A row of the table.

    `build` takes the number of input channels; `first_conv` and `first_bn` are the names, inside
    the built module, of the layers that cross-modality initialisation and partial BN single out.
    """

    name: str
    build: Callable[[int], nn.Module]
    feature_dim: int
    first_conv: str
    first_bn: str


def _bn_inception(name: str, width: float) -> Backbone:
    return Backbone(
        name=name,
        build=lambda in_channels: BNInception(in_channels=in_channels, width=width),
        feature_dim=round(FEATURE_DIM * width),
        first_conv="conv1_7x7_s2",
        first_bn="conv1_7x7_s2_bn",
    )


BACKBONES: dict[str, Backbone] = {
    row.name: row
    for row in (
        _bn_inception("bn_inception", 1.0),
        _bn_inception("bn_inception_half", 0.5),
        _bn_inception("bn_inception_quarter", 0.25),
    )
}


def backbone(name: str) -> Backbone:
    """The row called `name`. Raises ValueError naming the valid ones."""
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; valid are: {', '.join(BACKBONES)}")
    return BACKBONES[name]
