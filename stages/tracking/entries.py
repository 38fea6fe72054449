"""What a run is told, as MLflow takes it: names, parameters, tags, data."""

import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mlflow import MlflowClient

Item = TypeVar("Item")
logger = logging.getLogger(__name__)

# What an MLflow server accepts.
ITEMS_PER_BATCH = 100
PARAM_LENGTH = 6000
TAG_LENGTH = 5000
# The UI's Dataset column shows a name and as much of the digest as MLflow's own have.
DIGEST_LENGTH = 8
FORBIDDEN_IN_NAMES = re.compile(r"[^/\w.\- :]")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a run read. `source` says where it is; `profile` holds its counts."""

    name: str
    digest: str
    context: str
    source: Mapping[str, object]
    profile: Mapping[str, object]


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
    client: "MlflowClient", run_id: str, data: DataSet, tags: Mapping[str, str]
) -> None:
    """Say what a run read: fills the UI's Dataset column without reading any video."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data.name,
        digest=data.digest[:DIGEST_LENGTH],
        source_type="code",
        source=json.dumps({"tags": {**tags, **data.source, "digest": data.digest}}),
        profile=json.dumps(data.profile),
    )
    tag = InputTag("mlflow.data.context", data.context)
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])
