"""BN-Inception (Ioffe & Szegedy, 2015), the paper's backbone (section 3.2), and its public weights.

The layers carry the flat names of the public Caffe port, so its ImageNet files load unchanged.
Those weights expect BGR input in 0..255. Letters: N images, C channels, H, W.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsn.model.backbone import multiples_of_32


def average_pool(x: Tensor) -> Tensor:
    """Return the 3x3 means at stride 1; the zero border counts, as in Caffe."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=True)


def max_pool(x: Tensor) -> Tensor:
    """Return the 3x3 maxima at stride 1."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


def halving_max_pool(x: Tensor) -> Tensor:
    """Return the 3x3 maxima at stride 2, the last window cut at the border (Caffe's ceil mode)."""
    return F.max_pool2d(x, 3, stride=2, ceil_mode=True)


class Inception(NamedTuple):
    """One row of the architecture: output channels per convolution, 0 where the branch has none.

    A row without `pool_proj` passes its pooled input through to its output.
    """

    name: str
    conv_1x1: int
    reduce_3x3: int
    conv_3x3: int
    reduce_double_3x3: int
    double_3x3: int
    pool_proj: int
    stride: int
    pool: Callable[[Tensor], Tensor]

    def out_channels(self, in_channels: int) -> int:
        """Return the channels of the concatenated branches."""
        pooled = self.pool_proj or in_channels
        return self.conv_1x1 + self.conv_3x3 + self.double_3x3 + pooled


STEM_CHANNELS = (64, 64, 192)
INCEPTIONS = (
    Inception("inception_3a", 64, 64, 64, 64, 96, 32, 1, average_pool),
    Inception("inception_3b", 64, 64, 96, 64, 96, 64, 1, average_pool),
    Inception("inception_3c", 0, 128, 160, 64, 96, 0, 2, halving_max_pool),
    Inception("inception_4a", 224, 64, 96, 96, 128, 128, 1, average_pool),
    Inception("inception_4b", 192, 96, 128, 96, 128, 128, 1, average_pool),
    Inception("inception_4c", 160, 128, 160, 128, 160, 128, 1, average_pool),
    Inception("inception_4d", 96, 128, 192, 160, 192, 128, 1, average_pool),
    Inception("inception_4e", 0, 128, 192, 192, 256, 0, 2, halving_max_pool),
    Inception("inception_5a", 352, 192, 320, 160, 224, 128, 1, average_pool),
    Inception("inception_5b", 352, 192, 320, 192, 224, 128, 1, max_pool),
)
CONV_BIAS = 0.2


class BNInception(nn.Module):
    """BN-Inception without its classifier.

    `width` multiplies every channel number; 1.0 is the paper's network. Raises ValueError for a
    width that does not give whole channel numbers.
    """

    def __init__(self, *, in_channels: int, width: float) -> None:
        super().__init__()
        # Every channel number of the tables is a multiple of 32.
        if width <= 0 or not (32 * width).is_integer():
            raise ValueError(f"width must be a positive multiple of 1/32, got {width}")
        self.width = width
        conv1, conv2_reduce, conv2 = (self._scaled(channels) for channels in STEM_CHANNELS)
        self._add_unit("conv1_7x7_s2", in_channels, conv1, kernel=7, stride=2)
        self._add_unit("conv2_3x3_reduce", conv1, conv2_reduce, kernel=1, stride=1)
        self._add_unit("conv2_3x3", conv2_reduce, conv2, kernel=3, stride=1)
        channels = STEM_CHANNELS[-1]
        for row in INCEPTIONS:
            self._add_inception(row, channels)
            channels = row.out_channels(channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, 1024 * width) of images (N, C, H, W), averaged over all positions.

        Raises ValueError unless H and W are multiples of 32.
        """
        for side in images.shape[-2:]:
            multiples_of_32(side)
        x = halving_max_pool(self._unit("conv1_7x7_s2", images))
        x = self._unit("conv2_3x3", self._unit("conv2_3x3_reduce", x))
        x = halving_max_pool(x)
        for row in INCEPTIONS:
            x = self._inception(row, x)
        return x.mean(dim=(2, 3))

    def _scaled(self, channels: int) -> int:
        return round(channels * self.width)

    def _add_unit(
        self, name: str, in_channels: int, out_channels: int, *, kernel: int, stride: int
    ) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)
        self.add_module(name, conv)
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))

    def _add_inception(self, row: Inception, in_channels: int) -> None:
        def add(branch: str, source: int, target: int, kernel: int, stride: int) -> None:
            name = f"{row.name}_{branch}"
            scaled = self._scaled(source), self._scaled(target)
            self._add_unit(name, *scaled, kernel=kernel, stride=stride)

        if row.conv_1x1:
            add("1x1", in_channels, row.conv_1x1, 1, 1)
        add("3x3_reduce", in_channels, row.reduce_3x3, 1, 1)
        add("3x3", row.reduce_3x3, row.conv_3x3, 3, row.stride)
        add("double_3x3_reduce", in_channels, row.reduce_double_3x3, 1, 1)
        add("double_3x3_1", row.reduce_double_3x3, row.double_3x3, 3, 1)
        add("double_3x3_2", row.double_3x3, row.double_3x3, 3, row.stride)
        if row.pool_proj:
            add("pool_proj", in_channels, row.pool_proj, 1, 1)

    def _unit(self, name: str, x: Tensor) -> Tensor:
        """Apply convolution, batch normalisation and ReLU."""
        normalised: Tensor = getattr(self, f"{name}_bn")(getattr(self, name)(x))
        return F.relu(normalised, inplace=True)

    def _inception(self, row: Inception, x: Tensor) -> Tensor:
        def unit(branch: str, x: Tensor) -> Tensor:
            return self._unit(f"{row.name}_{branch}", x)

        branches = [unit("1x1", x)] if row.conv_1x1 else []
        branches.append(unit("3x3", unit("3x3_reduce", x)))
        double = unit("double_3x3_1", unit("double_3x3_reduce", x))
        branches.append(unit("double_3x3_2", double))
        pooled = row.pool(x)
        branches.append(unit("pool_proj", pooled) if row.pool_proj else pooled)
        return torch.cat(branches, dim=1)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every convolution below `module` as the released prototxts say.

    Weights from Caffe's "xavier", uniform within sqrt(3 / fan-in), and a bias of 0.2. BN starts at
    scale 1, shift 0, running mean 0 and running variance 1.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            bound = math.sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, CONV_BIAS)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
