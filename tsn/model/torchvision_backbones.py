"""Rows for the networks of torchvision: GoogLeNet and VGG-16 (the paper's Table 4), and others.

The networks are torchvision's own, so its files of ImageNet weights load as they are.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tsn.model.backbone import (
    Backbone,
    InputValues,
    Tensors,
    at_least,
    rgb_values,
    same_names,
)

if TYPE_CHECKING:
    from torch import nn

IMAGENET = rgb_values((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = rgb_values((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # the weights that come from TensorFlow
NARROWEST_INCEPTION_V3 = 75  # pixels; of fewer, no position is left


def resnet_row(name: str, *, feature_dim: int, weights: int, pixel_bytes: int) -> Backbone:
    """Return the row of a ResNet (He et al., 2016) by torchvision's name for it."""

    def build() -> "nn.Module":
        from torch import nn
        from torchvision import models  # as of every row: not for those who use none of it

        network: nn.Module = models.get_model(name, weights=None)
        network.fc = nn.Identity()
        return network

    return _row(
        *(name, build, feature_dim, "conv1", "bn1"),
        classifiers=("fc",),
        weights=weights,
        pixel_bytes=pixel_bytes,
    )


def googlenet_row() -> Backbone:
    """Return the row of GoogLeNet (Szegedy et al., 2015), with torchvision's BN."""

    def build() -> "nn.Module":
        from torchvision import models

        network = models.googlenet(weights=None, aux_logits=False, init_weights=True)
        return _without_classifier(network)

    return _row(
        *("googlenet", build, 1024, "conv1.conv", "conv1.bn"),
        classifiers=("fc", "aux1", "aux2"),
        inputs=HALF,
        weights=5_600_000,
        pixel_bytes=1_400,
    )


def inception_v3_row() -> Backbone:
    """Return the row of Inception V3 (Szegedy et al., 2016)."""

    def build() -> "nn.Module":
        from torchvision import models

        network = models.inception_v3(weights=None, aux_logits=False, init_weights=True)
        return _without_classifier(network)

    layers = ("Conv2d_1a_3x3.conv", "Conv2d_1a_3x3.bn")
    return _row(
        *("inception_v3", build, 2048, *layers),
        classifiers=("fc", "AuxLogits"),
        inputs=HALF,
        narrowest=NARROWEST_INCEPTION_V3,
        weights=21_800_000,
        pixel_bytes=1_600,
    )


def vgg16_row() -> Backbone:
    """Return the row of VGG-16 (Simonyan & Zisserman, 2015): no BN, dropout behind both layers.

    The features are those of its second fully connected layer.
    """

    def build() -> "nn.Module":
        from torchvision import models

        network: nn.Module = models.vgg16(weights=None)
        network.classifier = network.classifier[:5]  # type: ignore[index]  # no last dropout, no fc
        return network

    return _row(
        *("vgg16", build, 4096, "features.0", None),
        classifiers=("classifier.6",),
        dropouts=("classifier.2",),
        weights=134_000_000,
        pixel_bytes=1_700,
    )


def _without_classifier(network: "nn.Module") -> "nn.Module":
    from torch import nn

    network.dropout = nn.Identity()
    network.fc = nn.Identity()
    return network


def _replace_first_conv(module: "nn.Module", name: str, in_channels: int) -> None:
    """Put a convolution of that many input channels in the place of a built module's first one.

    A new one starts as PyTorch draws any convolution, until weights come.
    """
    from torch import nn

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


def _published(name: str) -> Tensors:
    """Return the newest ImageNet weights that torchvision publishes, its classifier included."""
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    tensors: Tensors = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    return tensors


def _row(
    name: str,
    build: "Callable[[], nn.Module]",
    feature_dim: int,
    first_conv: str,
    first_bn: str | None,
    *,
    classifiers: tuple[str, ...],
    weights: int,
    pixel_bytes: int,
    dropouts: tuple[str, ...] = (),
    inputs: InputValues = IMAGENET,
    narrowest: int = 32,
) -> Backbone:
    def build_for(in_channels: int) -> "nn.Module":
        network = build()
        _replace_first_conv(network, first_conv, in_channels)
        return network

    return Backbone(
        name=name,
        build=build_for,
        initialise=None,
        feature_dim=feature_dim,
        first_conv=first_conv,
        first_bn=first_bn,
        dropouts=dropouts,
        inputs=inputs,
        check_input_size=at_least(narrowest),
        rename=same_names,
        classifiers=classifiers,
        public=True,
        hub=partial(_published, name),
        weights=weights,
        pixel_bytes=pixel_bytes,
    )
