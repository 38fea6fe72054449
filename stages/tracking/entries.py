"""What a run is told, as MLflow takes it: names, parameters, tags, and which code ran."""

import dataclasses
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stages.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

Item = TypeVar("Item")
logger = logging.getLogger(__name__)

CODE_PATHS = ("tsn", "stages", "flows", "dvc.yaml", "params.yaml", "recipes")

# What an MLflow server accepts.
ITEMS_PER_BATCH = 100
PARAM_LENGTH = 6000
TAG_LENGTH = 5000
# The UI's Dataset column shows a name and as much of the digest as MLflow's own have.
DIGEST_LENGTH = 8
FORBIDDEN_IN_NAMES = re.compile(r"[^/\w.\- :]")


def valid_name(name: str) -> str:
    """Return the name as MLflow takes it: `C++/top1` is `C--/top1`."""
    return FORBIDDEN_IN_NAMES.sub("-", name)


def flatten_params(params: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Return nested mappings and dataclasses as dotted keys; text as it is, other values as JSON.

    A value longer than MLflow takes ends in the digest of the whole, so it still compares.
    """
    flat: dict[str, str] = {}
    for key, value in params.items():
        dotted = valid_name(f"{prefix}{key}")
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, Mapping) and value:
            flat |= flatten_params(value, f"{dotted}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            flat[dotted] = _shorten(text, PARAM_LENGTH)
    return flat


def _shorten(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    ending = f"... (sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]})"
    return text[: length - len(ending)] + ending


def log_missing_params(client: "MlflowClient", run_id: str, params: Mapping[str, object]) -> None:
    """Log the parameters that a run does not have; warn of those that it has with other values."""
    from mlflow.entities import Param

    present = client.get_run(run_id).data.params
    flat = flatten_params(params)
    for key in sorted(flat.keys() & present.keys()):
        if flat[key] != present[key]:
            logger.warning(
                "MLflow run %s keeps its parameter %s = %s; this stage has %s",
                run_id,
                key,
                present[key],
                flat[key],
            )
    missing = [Param(key, value) for key, value in flat.items() if key not in present]
    for batch in batches(missing, ITEMS_PER_BATCH):
        client.log_batch(run_id, params=batch, synchronous=True)


def log_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, over older values."""
    from mlflow.entities import RunTag

    every = [RunTag(valid_name(tag), _shorten(text, TAG_LENGTH)) for tag, text in tags.items()]
    for batch in batches(every, ITEMS_PER_BATCH):
        client.log_batch(run_id, tags=batch, synchronous=True)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in batches that a server accepts."""
    return (items[start : start + size] for start in range(0, len(items), size))


def log_dataset(
    client: "MlflowClient",
    run_id: str,
    name: str,
    digest: str,
    context: str,
    tags: Mapping[str, str],
) -> None:
    """Say what a run read: fills the UI's Dataset column without reading any data."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name,
        digest=digest[:DIGEST_LENGTH],
        source_type="code",
        source=json.dumps({"tags": {**tags, "digest": digest}}),
    )
    tag = InputTag("mlflow.data.context", context)
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])


def provenance_tags(*, commit: bool = True) -> dict[str, str]:
    """Return which code ran: source file, git commit (dirty by what shapes results), DVC stage."""
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": Path(sys.argv[0]).name}
    head = _git("rev-parse", "HEAD") if commit and _is_repository() else None
    if head is not None:
        # dvc.lock and the tracked metrics change while a pipeline runs: they are not the code.
        changed = _git("status", "--porcelain", "--", *CODE_PATHS)
        tags |= {"git.commit": head, "git.dirty": "true" if changed else "false"}
        tags["mlflow.source.git.commit"] = head
    stage = os.environ.get("DVC_STAGE")
    if stage:
        tags["dvc.stage"] = stage
    return tags


def _is_repository() -> bool:
    """Return False where a zip was unpacked inside somebody's other repository."""
    top = _git("rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == store.PROJECT_ROOT


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=store.PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
