"""Weights on disk: safetensors beside a JSON sidecar, written atomically, never unpickled.

A model folder holds `weights.safetensors` and `weights.json`; the sidecar says how to rebuild the
network and what it was trained on, so that loading it needs no params.yaml. An init folder holds
the RGB weights that a dataset's networks start from (none from scratch) and where they come from.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tsn.files import atomic_path
from tsn.modality import modality
from tsn.model.network import NetworkConfig, TemporalSegmentNetwork, build_network

WEIGHTS = "weights.safetensors"
SIDECAR = "weights.json"
INIT_WEIGHTS = "init.safetensors"
INIT_SIDECAR = "init.json"


class CheckpointError(ValueError):
    """Weights that cannot be used for what they were asked for."""


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


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """One safetensors file, complete or absent."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, metadata)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file of `save_tensors`, on the CPU."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights; run the stage that makes them")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error})") from error


def save_model(network: nn.Module, card: ModelCard, folder: Path) -> None:
    """Weights and sidecar of a trained network."""
    save_tensors(network.state_dict(), folder / WEIGHTS, {})
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
    with atomic_path(folder / SIDECAR) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load_card(folder: Path) -> ModelCard:
    """The sidecar of a model folder."""
    path = folder / SIDECAR
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model; run the train stage of this cell first")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        network = NetworkConfig(**fields.pop("network"))
        return ModelCard(**{**fields, "classes": tuple(fields["classes"]), "network": network})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a sidecar of this version ({error}); run the train stage of this cell"
        ) from error


def load_model(folder: Path) -> tuple[TemporalSegmentNetwork, ModelCard]:
    """A trained network, in evaluation mode, and its card."""
    card = load_card(folder)
    network = build_network(
        card.network,
        in_channels=modality(card.modality).channels,
        num_classes=len(card.classes),
        generator=torch.Generator(),
    )
    tensors, _ = load_tensors(folder / WEIGHTS)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: weights do not fit their sidecar: {error}") from error
    network.eval()
    return network, card


def refuse_other_cell(
    card: ModelCard, dataset: str, split: int, name: str, classes: tuple[str, ...], folder: Path
) -> None:
    """CheckpointError unless the model was trained for exactly this cell.

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


def save_initial(folder: Path, kind: str, name: str, tensors: dict[str, Tensor] | None) -> None:
    """The outcome of an init: sidecar, and tensors unless there are none."""
    if tensors is not None:
        save_tensors(tensors, folder / INIT_WEIGHTS, {})
    sidecar = {"kind": kind, "backbone": name, "weights": tensors is not None}
    with atomic_path(folder / INIT_SIDECAR) as temporary:
        temporary.write_text(json.dumps(sidecar, indent=2) + "\n")


def load_initial(folder: Path, name: str) -> dict[str, Tensor] | None:
    """The tensors saved for that backbone; None when training starts from scratch."""
    path = folder / INIT_SIDECAR
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no initial weights; run the pretrain stage first")
    try:
        sidecar = json.loads(path.read_text())
        found, has_weights = sidecar["backbone"], sidecar["weights"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not written by this pipeline ({error}); run the pretrain stage again"
        ) from error
    if found != name:
        raise CheckpointError(
            f"{path}: initial weights are for {found}, the recipe trains {name}; "
            "name the same backbone in its init and train sections"
        )
    return load_tensors(folder / INIT_WEIGHTS)[0] if has_weights else None


# -- an interrupted training ------------------------------------------------------------------


def save_progress(
    path: Path,
    network: nn.Module,
    momentum: Mapping[str, Tensor],
    *,
    fingerprint: str,
    log: list[dict[str, float]],
) -> None:
    """Everything a training needs to go on after the last iteration of `log`."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"momentum.{name}": tensor for name, tensor in momentum.items()}
    save_tensors(tensors, path, {"fingerprint": fingerprint, "log": json.dumps(log)})


@dataclass(frozen=True)
class Progress:
    """What `save_progress` kept: the state after `len(log)` iterations."""

    network: dict[str, Tensor]
    momentum: dict[str, Tensor]
    log: list[dict[str, float]]


def load_progress(path: Path, fingerprint: str) -> Progress | None:
    """The interrupted training of that fingerprint, or None to start from the beginning."""
    if not path.is_file():
        return None
    tensors, metadata = load_tensors(path)
    if metadata.get("fingerprint") != fingerprint:
        return None

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    return Progress(part("network."), part("momentum."), json.loads(metadata["log"]))
