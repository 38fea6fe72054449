"""Named tensors: files of them, ours and public ones, and whether they are those of a network.

Nothing is unpickled but tensors.
"""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tsn.files import atomic_path
from tsn.model.backbone import Backbone, Tensors

logger = logging.getLogger(__name__)
# Where a whole temporal segment network has its backbone: ours, and the public PyTorch port's.
PREFIXES = ("backbone.", "base_model.")
CLASSIFIERS = ("fc", "new_fc")  # without dropout, the port's is a layer of its backbone
CONSENSUS = "consensus."


class CheckpointError(ValueError):
    """Weights that cannot be used for what they were asked for."""


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write one safetensors file, complete or absent."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path, durable=True) as temporary:
        try:
            save_file(plain, temporary, metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: could not be written: {error}") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors, on the CPU, and the metadata of a safetensors file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights; run the stage that makes them")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a complete safetensors file ({error})") from error


def load_public_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a public file of weights (.pth or .safetensors), on the CPU.

    They may stand under "state_dict", with the "module." that data-parallel training puts in front
    of their names. Raises FileNotFoundError, or ValueError for anything but tensors by name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no weight file here (expected .pth or .safetensors)")
    try:
        if path.suffix == ".safetensors":
            tensors: object = load_tensors(path)[0]
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (CheckpointError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path}: not a readable weight file: {error}") from error
    if isinstance(tensors, Mapping) and isinstance(tensors.get("state_dict"), Mapping):
        tensors = tensors["state_dict"]
    if not isinstance(tensors, Mapping) or not all(
        isinstance(tensor, Tensor) for tensor in tensors.values()
    ):
        raise ValueError(f"{path}: expected a flat mapping of layer names to tensors")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def load_backbone_weights(row: Backbone, path: Path, *, in_channels: int = 3) -> Tensors:
    """Return the tensors of a file, named as the built backbone's, and all of them.

    The file is a public one of the backbone, or of a whole temporal segment network: ours, or a
    public PyTorch port's. What the row names as its classifiers is dropped. So is a whole network's
    learned consensus, which a warning says: the mean over snippets takes its place in testing, and
    a training starts its own. BN tensors of shape (1, C) become (C,), and absent BN step counters
    become 0. Nothing is unpickled but tensors.
    Raises FileNotFoundError, or ValueError naming all tensors that are missing, unexpected or of
    another shape.
    """
    return fit_tensors(row, load_public_tensors(path), in_channels=in_channels, source=str(path))


def fit_tensors(row: Backbone, tensors: Tensors, *, in_channels: int, source: str) -> Tensors:
    """Return tensors as `load_backbone_weights` does a file's; source: their origin, for errors."""
    with torch.device("meta"):
        expected = row.build(in_channels).state_dict()
    given = {
        name: tensor
        for name, tensor in row.rename(_backbone_tensors(tensors, source)).items()
        if not name.startswith(tuple(f"{layer}." for layer in row.classifiers))
    }
    complete_tensors(given, expected)
    check_tensors(given, expected, source=source)
    return given


def load_classifier(row: Backbone, path: Path, num_classes: int) -> Tensors:
    """Return "weight" and "bias" of the classifier in a whole network's file.

    Raises ValueError where it has none, or one of another shape.
    """
    tensors = load_public_tensors(path)
    inside = _prefix(tensors)
    layers = (*CLASSIFIERS, *(f"{inside}{layer}" for layer in row.classifiers))
    layer = next((layer for layer in layers if f"{layer}.weight" in tensors), CLASSIFIERS[0])
    given = {
        name.removeprefix(f"{layer}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{layer}.")
    }
    with torch.device("meta"):
        expected = nn.Linear(row.feature_dim, num_classes).state_dict()
    check_tensors(given, expected, source=f"{path}: the classifier of {num_classes} classes")
    return given


def _prefix(tensors: Tensors) -> str:
    """Return how the names of a whole network's backbone begin; "" for a backbone alone."""
    return next((p for p in PREFIXES if any(name.startswith(p) for name in tensors)), "")


def _backbone_tensors(tensors: Tensors, source: str) -> Tensors:
    """Return the backbone's tensors of a whole network's; those of a backbone as they are."""
    prefix = _prefix(tensors)
    if not prefix:
        return tensors
    if learned := [name for name in tensors if name.startswith(CONSENSUS)]:
        logger.warning(
            "%s: its consensus is left behind (%s); a training starts its own",
            *(source, ", ".join(learned)),
        )
    heads = (*(f"{layer}." for layer in CLASSIFIERS), CONSENSUS)
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if not name.startswith(heads)
    }


def complete_tensors(given: Tensors, expected: Mapping[str, Tensor]) -> None:
    """Add the BN step counters that a file of an older PyTorch lacks; unwrap Caffe's BN tensors."""
    for name, reference in expected.items():
        if name.endswith(".num_batches_tracked"):
            given.setdefault(name, torch.zeros((), dtype=torch.long))
        elif name in given and given[name].shape == (1, *reference.shape):
            given[name] = given[name].squeeze(0)


def check_tensors(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, source: str
) -> None:
    """Raise ValueError unless `given` has exactly the names and shapes of `expected`."""
    shapes = [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in given and given[name].shape != expected[name].shape
    ]
    problems = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": shapes,
    }
    found = [
        f"{len(items)} {kind}: {', '.join(items)}" for kind, items in problems.items() if items
    ]
    if found:
        raise ValueError("\n  ".join([f"{source}: the weights do not fit the network", *found]))
