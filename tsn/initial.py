"""The RGB weights that every stream of a dataset starts from (paper section 3.2).

A row of `INITS` is one way to come by them. The outcome is a folder with the backbone's tensors
(none for training from scratch) and a sidecar that says where they come from.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tsn.backbones import backbone
from tsn.bn_inception import load_imagenet_weights
from tsn.checkpoint import CheckpointError, load_tensors, save_tensors
from tsn.fetch import fetch
from tsn.pretext import PretextConfig

WEIGHTS = "init.safetensors"
SIDECAR = "init.json"


@dataclass(frozen=True, kw_only=True)
class WeightsFileConfig:
    """Public ImageNet weights of a backbone: a local path, and URLs to fetch it from if absent."""

    backbone: str
    path: str
    urls: tuple[str, ...]
    sha256: str

    def __post_init__(self) -> None:
        backbone(self.backbone)


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


def save_initial(folder: Path, kind: str, name: str, tensors: dict[str, Tensor] | None) -> None:
    """The outcome of an init: sidecar, and tensors unless there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    if tensors is not None:
        save_tensors(tensors, folder / WEIGHTS, {})
    sidecar = {"kind": kind, "backbone": name, "weights": tensors is not None}
    (folder / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n")


def load_initial(folder: Path, name: str) -> dict[str, Tensor] | None:
    """The tensors saved for that backbone; None when training starts from scratch."""
    path = folder / SIDECAR
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no initial weights; run the pretrain stage first")
    sidecar = json.loads(path.read_text())
    if sidecar["backbone"] != name:
        raise CheckpointError(
            f"{path}: initial weights are for {sidecar['backbone']}, the recipe trains {name}; "
            "name the same backbone in its init and train sections"
        )
    return load_tensors(folder / WEIGHTS)[0] if sidecar["weights"] else None
