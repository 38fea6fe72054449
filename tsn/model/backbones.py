"""The closed table of backbones: networks that turn images (N, C, H, W) into features (N, D).

A row has all that the code around a backbone needs to know of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tsn.model import bn_inception


@dataclass(frozen=True, kw_only=True)
class InputValues:
    """How a backbone takes values of 0..255: colours in its order, then (value - mean) / std.

    colours: the order of an image's channels, "bgr" or "rgb"; mean and std are in that order, and
        std is None where nothing is divided.
    """

    colours: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float] | None

    def __post_init__(self) -> None:
        if self.colours not in ("bgr", "rgb"):
            raise ValueError(f"colours are bgr or rgb, got {self.colours!r}")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A row of the table.

    build: makes it for a number of input channels.
    initialise: draws every weight of a built one from a generator.
    first_conv, first_bn: the names, inside the built module, of the layers that cross-modality
        initialisation and partial BN single out.
    dropout: makes what drops features, with a probability, between it and the classifier.
    inputs: the values that it takes.
    check_input_size: raises ValueError for images of a side that it cannot take.
    load_weights: reads a file of its public RGB weights; None where there are none.
    """

    name: str
    build: Callable[[int], nn.Module]
    initialise: Callable[[nn.Module, torch.Generator], None]
    feature_dim: int
    first_conv: str
    first_bn: str
    dropout: Callable[[float], nn.Module]
    inputs: InputValues
    check_input_size: Callable[[int], None]
    load_weights: Callable[[Path], dict[str, Tensor]] | None


def _bn_inception(
    name: str, width: float, load_weights: Callable[[Path], dict[str, Tensor]] | None = None
) -> Backbone:
    return Backbone(
        name=name,
        build=lambda in_channels: bn_inception.BNInception(in_channels=in_channels, width=width),
        initialise=bn_inception.initialise,
        feature_dim=round(bn_inception.FEATURE_DIM * width),
        first_conv="conv1_7x7_s2",
        first_bn="conv1_7x7_s2_bn",
        dropout=nn.Dropout,
        inputs=InputValues(colours="bgr", mean=(104.0, 117.0, 123.0), std=None),
        check_input_size=bn_inception.check_input_size,
        load_weights=load_weights,
    )


BACKBONES: dict[str, Backbone] = {
    row.name: row
    for row in (
        _bn_inception("bn_inception", 1.0, bn_inception.load_imagenet_weights),
        _bn_inception("bn_inception_half", 0.5),
        _bn_inception("bn_inception_quarter", 0.25),
    )
}


def backbone(name: str) -> Backbone:
    """Return the row called `name`. Raises ValueError naming the valid ones."""
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; valid are: {', '.join(BACKBONES)}")
    return BACKBONES[name]
