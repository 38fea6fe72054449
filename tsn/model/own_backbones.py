"""Rows for the networks that are written here: BN-Inception, the paper's, and CNN-M-2048.

A network itself is loaded, and PyTorch with it, when one is built.
"""

from typing import TYPE_CHECKING

from tsn.model.backbone import Backbone, InputValues, at_least, multiples_of_32, same_names

if TYPE_CHECKING:
    import torch
    from torch import nn

CAFFE = InputValues(colours="bgr", mean=(104.0, 117.0, 123.0), std=None)
# What tsn-pytorch trained with, and `pretrainedmodels` says: another mean of red.
PYTORCH_PORT = InputValues(colours="bgr", mean=(104.0, 117.0, 128.0), std=None)


def bn_inception_row(name: str, *, width: float, inputs: InputValues) -> Backbone:
    """Return the row of a width; the paper's, 1.0, is the one that there are public weights of.

    Of other sides than multiples of 32 pixels, the strided convolutions and the ceil-mode pools of
    a module disagree about its size.
    """

    def build(in_channels: int) -> "nn.Module":
        from tsn.model.bn_inception import BNInception

        return BNInception(in_channels=in_channels, width=width)

    def initialise(module: "nn.Module", generator: "torch.Generator") -> None:
        from tsn.model import bn_inception

        bn_inception.initialise(module, generator)

    return Backbone(
        name=name,
        build=build,
        initialise=initialise,
        feature_dim=round(1024 * width),
        first_conv="conv1_7x7_s2",
        first_bn="conv1_7x7_s2_bn",
        dropouts=(),
        inputs=inputs,
        check_input_size=multiples_of_32,
        rename=same_names,
        classifiers=("fc", "last_linear"),
        public=width == 1.0,
        hub=None,
        weights=round(10_300_000 * width**2),
        pixel_bytes=round(1_400 * width),
    )


def cnn_m_row() -> Backbone:
    """Return the row of CNN-M-2048."""

    def build(in_channels: int) -> "nn.Module":
        from tsn.model.cnn_m import CNNM

        return CNNM(in_channels)

    def initialise(module: "nn.Module", generator: "torch.Generator") -> None:
        from tsn.model import cnn_m

        cnn_m.initialise(module, generator)

    return Backbone(
        name="cnn_m_2048",
        build=build,
        initialise=initialise,
        feature_dim=2048,
        first_conv="conv1",
        first_bn=None,
        dropouts=("drop6",),
        inputs=CAFFE,
        check_input_size=at_least(64),
        rename=same_names,
        classifiers=("fc8",),
        public=True,
        hub=None,
        weights=90_400_000,
        pixel_bytes=1_200,
    )
