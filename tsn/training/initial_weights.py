"""The RGB weights that every stream of a dataset starts from (paper section 3.2).

A row of `INITS` is one way to come by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tsn.model.backbone import load_backbone_weights
from tsn.model.backbones import BACKBONES, backbone
from tsn.sources.download import fetch
from tsn.training.pretext import PretextConfig, pretext_network, pretext_training
from tsn.training.solver import Training

Weights = dict[str, Tensor]
# Runs a training to its end, which is made for the device and the number of processes that read.
RunTraining = Callable[[Callable[[torch.device, int], Training]], None]


@dataclass(frozen=True, kw_only=True)
class WeightsFileConfig:
    """Public ImageNet weights of a backbone: a local path, and URLs to fetch it from if absent.

    sha256: of the file, or its beginning; None to take any.
    """

    backbone: str
    path: str
    urls: tuple[str, ...]
    sha256: str | None

    def __post_init__(self) -> None:
        _refuse_without_files(self.backbone)


@dataclass(frozen=True, kw_only=True)
class WeightsPackageConfig:
    """Public ImageNet weights of a backbone that an installed Python package holds.

    package: its import name; file: the path below it; sha256: as of a file.
    """

    backbone: str
    package: str
    file: str
    sha256: str | None

    def __post_init__(self) -> None:
        _refuse_without_files(self.backbone)


def _refuse_without_files(name: str) -> None:
    if not backbone(name).public:
        public = [row.name for row in BACKBONES.values() if row.public]
        raise ValueError(
            f"public weights are there for {', '.join(public)} and timm:<name>, not {name!r}"
        )


@dataclass(frozen=True, kw_only=True)
class ScratchConfig:
    """No weights: every network starts from its own random ones."""

    backbone: str

    def __post_init__(self) -> None:
        backbone(self.backbone)


@dataclass(frozen=True, kw_only=True)
class Init:
    """A row of the table.

    config: what a recipe chooses.
    make: returns the backbone's tensors of a config, None when there are to be none; given what
        runs a training, for those that are learned.
    """

    config: type
    make: Callable[[Any, RunTraining], Weights | None]


def weights_from_pretext(config: PretextConfig, run: RunTraining) -> Weights:
    """Return the backbone's tensors, trained on the generated still-image task."""
    network = pretext_network(config)
    run(lambda device, workers: pretext_training(network, config, device=device, workers=workers))
    return dict(network.backbone.state_dict())


def weights_from_file(config: WeightsFileConfig, _run: RunTraining) -> Weights:
    """Return the backbone's tensors of a public file, fetched when it is not there."""
    path = fetch(config.urls, Path(config.path), sha256=config.sha256 or "")
    return load_backbone_weights(backbone(config.backbone), path)


def weights_from_package(config: WeightsPackageConfig, _run: RunTraining) -> Weights:
    """Return the backbone's tensors of a package's file; nothing of the package is imported.

    Raises FileNotFoundError without the package or its file.
    """
    found = find_spec(config.package)
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"the package {config.package} is not installed: "
            f"pip install {config.package.replace('_', '-')}"
        )
    path = Path(found.origin).parent / config.file
    if not path.is_file():
        raise FileNotFoundError(f"the package {config.package} has no file {config.file}")
    fetch((), path, sha256=config.sha256 or "")  # which refuses another file
    return load_backbone_weights(backbone(config.backbone), path)


def weights_from_scratch(_config: ScratchConfig, _run: RunTraining) -> None:
    """Return no weights."""


INITS: dict[str, Init] = {
    "pretext": Init(config=PretextConfig, make=weights_from_pretext),
    "weights_file": Init(config=WeightsFileConfig, make=weights_from_file),
    "weights_package": Init(config=WeightsPackageConfig, make=weights_from_package),
    "scratch": Init(config=ScratchConfig, make=weights_from_scratch),
}
