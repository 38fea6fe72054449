"""What a backbone is: a network that turns images (N, C, H, W) into features (N, D).

A row of the table (tsn.model.backbones) has all that the code around a backbone needs to know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tsn.model.tensors import check_tensors, load_public_tensors

Tensors = dict[str, Tensor]
# Where a whole temporal segment network has its backbone: ours, and the public PyTorch ports'.
PREFIXES = ("backbone.", "base_model.")
CLASSIFIERS = ("fc", "new_fc")
HEADS = (*CLASSIFIERS, "consensus")  # what it has beside


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
    """

    name: str
    build: Callable[[int], nn.Module]
    initialise: Callable[[nn.Module, torch.Generator], None] | None
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


def at_least(pixels: int) -> Callable[[int], None]:
    """Return a check of a backbone that takes images of any side from `pixels` on."""

    def check(side: int) -> None:
        if side < pixels:
            raise ValueError(f"input_size is at least {pixels} for this backbone, got {side}")

    return check


def same_names(tensors: Tensors) -> Tensors:
    """Return tensors that are named as the built module's already."""
    return tensors


def replace_first_conv(module: nn.Module, name: str, in_channels: int) -> None:
    """Put a convolution of that many input channels in the place of a built module's first one.

    A new one starts as PyTorch draws any convolution, until weights come.
    """
    old = module.get_submodule(name)
    assert isinstance(old, nn.Conv2d)
    if old.in_channels == in_channels:
        return
    settings = ("kernel_size", "stride", "padding", "dilation", "groups")
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        bias=old.bias is not None,
        **{setting: getattr(old, setting) for setting in settings},
    )
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, new)


def load_backbone_weights(row: Backbone, path: Path, *, in_channels: int = 3) -> Tensors:
    """Return the tensors of a file, named as the built backbone's, and all of them.

    The file is a public one of the backbone, or of a whole temporal segment network: ours, or a
    public PyTorch port's. What the row names as its classifiers is dropped. BN tensors of shape
    (1, C) become (C,), and absent BN step counters become 0. Nothing is unpickled but tensors.
    Raises FileNotFoundError, or ValueError naming the tensors that are missing, unexpected or of
    another shape.
    """
    return fit_tensors(row, load_public_tensors(path), in_channels=in_channels, source=str(path))


def fit_tensors(row: Backbone, tensors: Tensors, *, in_channels: int, source: str) -> Tensors:
    """Return tensors as `load_backbone_weights` does a file's; source: their origin, for errors."""
    with torch.device("meta"):
        expected = row.build(in_channels).state_dict()
    given = {
        name: tensor
        for name, tensor in row.rename(backbone_tensors(tensors)).items()
        if not name.startswith(tuple(f"{layer}." for layer in row.classifiers))
    }
    complete_tensors(given, expected)
    check_tensors(given, expected, source=source)
    return given


def load_classifier(row: Backbone, path: Path, num_classes: int) -> Tensors:
    """Return "weight" and "bias" of the classifier in a whole network's file.

    Raises ValueError where it has none, or one of another shape.
    """
    given = {
        name.rpartition(".")[2]: tensor
        for name, tensor in load_public_tensors(path).items()
        if name.startswith(tuple(f"{layer}." for layer in CLASSIFIERS))
    }
    with torch.device("meta"):
        expected = nn.Linear(row.feature_dim, num_classes).state_dict()
    check_tensors(given, expected, source=f"{path}: the classifier of {num_classes} classes")
    return given


def backbone_tensors(tensors: Tensors) -> Tensors:
    """Return the backbone's tensors of a whole network's; those of a backbone as they are."""
    prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in tensors)), "")
    heads = tuple(f"{layer}." for layer in HEADS) if prefix else ()
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if not (heads and name.startswith(heads))
    }


def complete_tensors(given: Tensors, expected: Mapping[str, Tensor]) -> None:
    """Add the BN step counters that a file of an older PyTorch lacks; unwrap Caffe's BN tensors."""
    for name, reference in expected.items():
        if name.endswith(".num_batches_tracked"):
            given.setdefault(name, torch.zeros((), dtype=torch.long))
        elif name in given and given[name].shape == (1, *reference.shape):
            given[name] = given[name].squeeze(0)
