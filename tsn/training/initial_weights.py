"""The RGB weights that every stream of a dataset starts from (paper section 3.2).

A row of `INITS` is one way to come by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
        if backbone(self.backbone).load_weights is None:
            public = [row.name for row in BACKBONES.values() if row.load_weights is not None]
            raise ValueError(
                f"public weights are there for {', '.join(public)}, not {self.backbone!r}"
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
    load = backbone(config.backbone).load_weights
    assert load is not None  # as the config was checked
    return load(fetch(config.urls, Path(config.path), sha256=config.sha256 or ""))


def weights_from_scratch(_config: ScratchConfig, _run: RunTraining) -> None:
    """Return no weights."""


INITS: dict[str, Init] = {
    "pretext": Init(config=PretextConfig, make=weights_from_pretext),
    "weights_file": Init(config=WeightsFileConfig, make=weights_from_file),
    "scratch": Init(config=ScratchConfig, make=weights_from_scratch),
}
