"""A training on disk: what an interrupted one needs to go on, and the log of a finished one."""

import csv
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path

from tsn.files import link_file, write_csv
from tsn.model.tensors import CheckpointError, load_tensors, save_tensors
from tsn.training.solver import Iteration, Training

logger = logging.getLogger(__name__)
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
    if path.is_file():
        link_file(path, _before(path))
    save_tensors(tensors, path, {"fingerprint": fingerprint, "log": rows})


def resume(path: Path, training: Training, fingerprint: str) -> list[Iteration]:
    """Put an interrupted training back and return its log, one row per finished iteration.

    Where there is none of that fingerprint the log is empty and the training as it was. Of a file
    that cannot be read, the one that was saved before it is taken.
    """
    for saved in (path, _before(path)):
        try:
            if saved.is_file():
                log = _load(saved, training, fingerprint)
                if saved != path:
                    link_file(saved, path)  # or the next save would keep the damaged one
                return log
        except (CheckpointError, KeyError, TypeError) as error:
            logger.warning("%s cannot be gone on from: %s", saved, error)
    return []


def _load(path: Path, training: Training, fingerprint: str) -> list[Iteration]:
    tensors, metadata = load_tensors(path)
    if metadata.get("fingerprint") != fingerprint:
        return []
    log = [Iteration(**row) for row in json.loads(metadata["log"])]
    names = training.network.state_dict()
    training.network.load_state_dict({name: tensors[f"network.{name}"] for name in names})
    for name, parameter in training.network.named_parameters():
        if (momentum := tensors.get(f"momentum.{name}")) is not None:
            training.optimizer.velocity[parameter] = momentum.to(parameter.device)
    return log


def _before(path: Path) -> Path:
    """Return where the state lies that was saved before the last one."""
    return path.with_name(f"{path.name}.before")


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
