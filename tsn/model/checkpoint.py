"""Networks on disk: safetensors beside a JSON sidecar, complete or absent.

A model folder holds `weights.safetensors` and `weights.json`; the sidecar says how to rebuild the
network and what it was trained on, so that loading it needs no params.yaml. An init folder holds
the weights that a dataset's networks start from, by modality, and what made them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from tsn.files import write_json
from tsn.modality import modality
from tsn.model.initialisation import Source, Sources
from tsn.model.network import TemporalSegmentNetwork, build_network
from tsn.model.settings import NetworkConfig
from tsn.model.tensors import CheckpointError, load_tensors, save_tensors
from tsn.records import record

WEIGHTS = "weights.safetensors"
SIDECAR = "weights.json"
INIT_SIDECAR = "init.json"
Card = TypeVar("Card")
BACKBONE, CLASSIFIER = "backbone.", "fc."  # how the names of a network's tensors begin


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The sidecar of trained weights: how to rebuild the network, and what it has seen.

    fingerprint identifies what the training was made of (parameters, lists, streams, code).
    """

    dataset: str
    split: int
    modality: str
    classes: tuple[str, ...]
    input_size: int
    network: NetworkConfig
    iterations: int
    fingerprint: str


def save_model(network: nn.Module, card: ModelCard, folder: Path) -> None:
    """Write weights and sidecar of a trained network."""
    save_tensors(network.state_dict(), folder / WEIGHTS, {})
    write_json(folder / SIDECAR, asdict(card))


def load_card(folder: Path) -> ModelCard:
    """Return the sidecar of a model folder."""
    return _read_sidecar(folder / SIDECAR, ModelCard, "such model", "train stage of this cell")


def _read_sidecar(path: Path, cls: type[Card], what: str, stage: str) -> Card:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no {what}; run the {stage} first")
    try:
        return record(json.loads(path.read_text(encoding="utf-8")), cls, "")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a sidecar of this version ({error}); run the {stage} again"
        ) from error


def load_model(folder: Path) -> tuple[TemporalSegmentNetwork, ModelCard]:
    """Return a trained network, in evaluation mode, and its card."""
    card = load_card(folder)
    network = build_network(
        card.network,
        in_channels=modality(card.modality).channels,
        num_classes=len(card.classes),
        generator=torch.Generator(),
    )
    tensors, _ = load_tensors(folder / WEIGHTS)
    if spoilt := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise CheckpointError(
            f"{folder / WEIGHTS}: {spoilt[0]} has values that are no finite numbers; train it again"
        )
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights do not fit their sidecar: {error}") from error
    network.eval()
    return network, card


def refuse_other_cell(
    card: ModelCard, dataset: str, split: int, name: str, classes: tuple[str, ...], folder: Path
) -> None:
    """Raise CheckpointError unless the model was trained for exactly this cell.

    A model scored on another split has seen that split's test videos in training: 95 to 100 %
    and meaningless.
    """
    wanted = {"dataset": dataset, "split": split, "modality": name, "classes": classes}
    for field, value in wanted.items():
        found = getattr(card, field)
        if found != value:
            raise CheckpointError(
                f"{folder / SIDECAR}: trained for {field} {found!r}, asked for {value!r}; "
                f"train {dataset} split {split} {name} instead"
            )


# -- what a training starts from --------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class InitialCard:
    """The sidecar of initial weights.

    kind: the row of `tsn.training.initial_weights` that made them; classes: by each modality that
    there are weights for, what their classifier tells apart, nothing without one; datasets: by
    modality, the dataset of this project that they were trained on, "" for another origin.
    """

    kind: str
    backbone: str
    classes: dict[str, tuple[str, ...]]
    datasets: dict[str, str]


def initial_weights_path(folder: Path, name: str) -> Path:
    """Return where the initial weights for a modality are."""
    return folder / f"{name}.safetensors"


def save_initial(folder: Path, kind: str, name: str, sources: Sources) -> None:
    """Write the weights that a backbone's networks start from, by modality, and their sidecar."""
    for modality_name, source in sources.items():
        tensors = {f"{BACKBONE}{key}": tensor for key, tensor in source.backbone.items()}
        tensors |= {f"{CLASSIFIER}{key}": tensor for key, tensor in source.classifier.items()}
        save_tensors(tensors, initial_weights_path(folder, modality_name), {})
    classes = {modality_name: source.classes for modality_name, source in sources.items()}
    datasets = {modality_name: source.dataset for modality_name, source in sources.items()}
    card = InitialCard(kind=kind, backbone=name, classes=classes, datasets=datasets)
    write_json(folder / INIT_SIDECAR, asdict(card))


def load_initial_card(folder: Path) -> InitialCard:
    """Return the sidecar of initial weights."""
    return _read_sidecar(folder / INIT_SIDECAR, InitialCard, "initial weights", "pretrain stage")


def load_initial(folder: Path, name: str) -> dict[str, Source]:
    """Return what is saved for that backbone, by modality; nothing when it starts from scratch."""
    card = load_initial_card(folder)
    if card.backbone != name:
        raise CheckpointError(
            f"{folder / INIT_SIDECAR}: initial weights are for {card.backbone}, the recipe trains "
            f"{name}; name the same backbone in its init and train sections"
        )
    sources = {}
    for modality_name, classes in card.classes.items():
        tensors, _ = load_tensors(initial_weights_path(folder, modality_name))
        sources[modality_name] = Source(
            backbone=part(tensors, BACKBONE),
            classes=classes,
            classifier=part(tensors, CLASSIFIER),
            dataset=card.datasets[modality_name],
        )
    return sources


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without that beginning."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
