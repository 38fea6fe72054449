"""A training on disk: what an interrupted one needs to go on, and the log of a finished one."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path

from tsn.files import write_csv
from tsn.model.tensors import load_tensors, save_tensors
from tsn.training.solver import Iteration, Training

COLUMNS = tuple(field.name for field in fields(Iteration))


def save_progress(
    path: Path, training: Training, fingerprint: str, log: Sequence[Iteration]
) -> None:
    """Write everything a training needs to go on after the last iteration of `log`."""
    parameters = training.network.named_parameters()
    velocity = training.optimizer.velocity
    tensors = {f"network.{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {
        f"momentum.{name}": velocity[parameter]
        for name, parameter in parameters
        if parameter in velocity
    }
    rows = json.dumps([asdict(row) for row in log])
    save_tensors(tensors, path, {"fingerprint": fingerprint, "log": rows})


def resume(path: Path, training: Training, fingerprint: str) -> list[Iteration]:
    """Put an interrupted training back and return its log, one row per finished iteration.

    Where there is none of that fingerprint the log is empty and the training as it was.
    """
    if not path.is_file():
        return []
    tensors, metadata = load_tensors(path)
    if metadata.get("fingerprint") != fingerprint:
        return []
    names = training.network.state_dict()
    training.network.load_state_dict({name: tensors[f"network.{name}"] for name in names})
    for name, parameter in training.network.named_parameters():
        if (momentum := tensors.get(f"momentum.{name}")) is not None:
            training.optimizer.velocity[parameter] = momentum.to(parameter.device)
    return [Iteration(**row) for row in json.loads(metadata["log"])]


def write_log(log: Sequence[Iteration], path: Path) -> None:
    """Write a training's log: a row per iteration."""
    write_csv(path, COLUMNS, map(astuple, log))


def read_log(path: Path) -> list[Iteration]:
    """Return the log of `write_log`, to the bit."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Iteration(
                int(row.pop("iteration")), **{name: float(text) for name, text in row.items()}
            )
            for row in csv.DictReader(file)
        ]
