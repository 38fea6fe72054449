"""The RGB weights that every stream of a dataset starts from (paper section 3.2).

A row of `INITS` is one way to come by them.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tsn.model.backbones import backbone
from tsn.model.bn_inception import load_imagenet_weights
from tsn.sources.download import fetch
from tsn.training.pretext import PretextConfig


@dataclass(frozen=True, kw_only=True)
class WeightsFileConfig:
    """Public ImageNet weights of a backbone: a local path, and URLs to fetch it from if absent."""

    backbone: str
    path: str
    urls: tuple[str, ...]
    sha256: str

    def __post_init__(self) -> None:
        if self.backbone != "bn_inception":
            raise ValueError(f"public weights are there for bn_inception, not {self.backbone!r}")


@dataclass(frozen=True, kw_only=True)
class ScratchConfig:
    """No weights: every network starts from its own random ones."""

    backbone: str

    def __post_init__(self) -> None:
        backbone(self.backbone)


INITS: dict[str, type] = {
    "pretext": PretextConfig,
    "weights_file": WeightsFileConfig,
    "scratch": ScratchConfig,
}


def weights_from_file(config: WeightsFileConfig) -> dict[str, Tensor]:
    """The backbone tensors of a public ImageNet file, fetched when it is not there."""
    return load_imagenet_weights(fetch(config.urls, Path(config.path), sha256=config.sha256))
