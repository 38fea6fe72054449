"""What a recipe says of a network; PyTorch is not loaded for it, but for a network of timm."""

import math
from dataclasses import dataclass

from tsn.model.backbones import backbone
from tsn.model.consensus import check_consensus


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What a recipe chooses about a network; the channels and classes come from modality and data.

    `dropout` is the probability to drop a feature; `partial_bn` freezes every BN but the first.
    `bn_momentum` is the weight of a batch in the running statistics of a BN that is not frozen:
    Caffe's is 0.1. With TensorFlow's 0.01 a short training does not arrive at its inputs'.
    """

    backbone: str
    consensus: str
    num_segments: int
    dropout: float
    partial_bn: bool
    bn_momentum: float

    def __post_init__(self) -> None:
        row = backbone(self.backbone)
        check_consensus(self.consensus, self.num_segments)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if not 0 < self.bn_momentum <= 1:
            raise ValueError(f"bn_momentum must be in (0, 1], got {self.bn_momentum}")
        if self.partial_bn and row.first_bn is None:
            raise ValueError(
                f"partial_bn: {self.backbone} has no batch normalisation to freeze; set it to false"
            )


@dataclass(frozen=True, kw_only=True)
class LearningRateMultipliers:
    """Factors on the learning rate; other weights, BN and consensus have 1.

    bias: of every convolution and the classifier but the first convolution, which has its own.
    """

    bias: float
    first_conv_weight: float
    first_conv_bias: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"learning rate multiplier {name} must be positive, got {value}")
