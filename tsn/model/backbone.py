"""What a backbone is: a network that turns images (N, C, H, W) into features (N, D).

A row of the table (tsn.model.backbones) has all that the code around a backbone needs to know.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Tensors: TypeAlias = "dict[str, Tensor]"


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


def rgb_values(mean: tuple[float, ...], std: tuple[float, ...]) -> InputValues:
    """Return the values of a network that takes RGB of 0..1, as the weights of today do."""
    red, green, blue = (255 * value for value in mean)
    red_std, green_std, blue_std = (255 * value for value in std)
    return InputValues(colours="rgb", mean=(red, green, blue), std=(red_std, green_std, blue_std))


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A row of the table.

    build: makes it for a number of input channels.
    initialise: draws every weight of a built one from a generator; None where its library's own
        initialisation, drawn when it is built, stays.
    first_conv, first_bn: the names, inside the built module, of the layers that cross-modality
        initialisation and partial BN single out; first_bn is None for a network without BN.
    dropouts: the names of layers inside it that drop features with the recipe's probability, as
        the layer between it and the classifier does.
    inputs: the values that it takes.
    check_input_size: raises ValueError for images of a side that it cannot take.
    rename: gives the tensors of a public file the names of the built module.
    classifiers: names of the layers of a public file that are not the backbone's.
    public: whether there are public files of its weights.
    hub: fetches the ImageNet weights that its library publishes; None where it has no library.
    weights: how many it has of three channels, roughly.
    pixel_bytes: what a training on a CPU holds of each pixel of the images that the network takes
        at once, in bytes: at least what the backward pass needs, and no more than twice that.
    """

    name: str
    build: "Callable[[int], nn.Module]"
    initialise: "Callable[[nn.Module, torch.Generator], None] | None"
    feature_dim: int
    first_conv: str
    first_bn: str | None
    dropouts: tuple[str, ...]
    inputs: InputValues
    check_input_size: Callable[[int], None]
    rename: Callable[[Tensors], Tensors]
    classifiers: tuple[str, ...]
    public: bool
    hub: Callable[[], Tensors] | None
    weights: int
    pixel_bytes: int


def at_least(pixels: int) -> Callable[[int], None]:
    """Return a check of a backbone that takes images of any side from `pixels` on."""

    def check(side: int) -> None:
        if side < pixels:
            raise ValueError(f"input_size is at least {pixels} for this backbone, got {side}")

    return check


def multiples_of_32(side: int) -> None:
    """Raise ValueError unless a side is a multiple of 32 pixels."""
    if side < 32 or side % 32:
        raise ValueError(
            f"input_size: this backbone takes multiples of 32 pixels (64, 224, ...), got {side}"
        )


def same_names(tensors: Tensors) -> Tensors:
    """Return tensors that are named as the built module's already."""
    return tensors
