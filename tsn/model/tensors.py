"""Named tensors: files of them, and whether they are those of a network. Nothing is unpickled."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tsn.files import atomic_path


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
    found = [f"{len(items)} {kind}: {_listed(items)}" for kind, items in problems.items() if items]
    if found:
        raise ValueError(f"{source}: the weights do not fit the network; " + "; ".join(found))


def _listed(items: list[str]) -> str:
    shown = ", ".join(items[:8])
    return shown if len(items) <= 8 else f"{shown}, and {len(items) - 8} more"
