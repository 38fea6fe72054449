"""MLflow's model registry: a dataset's recognisers as versions of the model of its name.

The alias `challenger` is the newest that the pipeline made, `champion` the one in use, `previous`
the champion before it. Every function can be killed between any two calls to the store and be
called again: a recogniser, known by its fingerprint, is never registered twice, a new version
becomes the challenger, and a move of aliases is finished by the next one. Unlike tracking, what
goes wrong here is raised.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.tracking import store as mlflow_store
from stages.tracking.logged_model import FINGERPRINT, logged_model
from tsn.metrics import accuracy
from tsn.recogniser.folder import CARD, RecogniserCard, load_recogniser_card, read_test_scores

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

NEW = "new"  # a tag of a version, until it has been the challenger
MOVE = "alias_move"  # a tag of the registered model, while its aliases change
PROMOTION, ROLL_BACK = "promotion", "roll back"


class RegistryError(OSError):
    """MLflow is away, or did not do what it was asked."""


class NotRegisteredError(ValueError):
    """A version or alias that the registry does not have."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered recogniser: version `number` of the model `model`, made by the run `run_id`."""

    model: str
    number: str
    run_id: str
    fingerprint: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"models:/{self.model}/{self.number}"


def register(dataset: str, bundle: Path, run_id: str, *, challenge: bool) -> Version:
    """The version of the recogniser in `bundle`, made if need be.

    A new one is logged under the run `run_id` and becomes the challenger; one that was there does
    if `challenge` says so. RecogniserError for a folder that is not whole.
    """
    card = load_recogniser_card(bundle)
    with _speaking(), _locked():
        client = _connect()
        version = _find_fingerprint(client, dataset, card.fingerprint)
        if version is None:
            model_id = logged_model(client, dataset, bundle, card, run_id)
            version = _create_version(client, dataset, bundle, card, model_id)
        if challenge or NEW in version.tags:
            client.set_registered_model_alias(dataset, CHALLENGER, version.number)
        if NEW in version.tags:
            client.delete_model_version_tag(dataset, version.number, NEW)
        return _version(client.get_model_version(dataset, version.number))


def is_registered(dataset: str, fingerprint: str) -> bool:
    """Whether there is a version of that recogniser, and it has been the challenger."""
    with _speaking():
        client = _connect_existing()
        version = client and _find_fingerprint(client, dataset, fingerprint)
        return version is not None and NEW not in version.tags


def find(dataset: str, alias: str) -> Version | None:
    """The version under an alias, or None. Creates nothing."""
    with _speaking():
        client = _connect_existing()
        number = client and _aliases(client, dataset).get(alias)
        if client is None or number is None:
            return None
        return _version(client.get_model_version(dataset, number))


def find_fingerprint(dataset: str, fingerprint: str) -> Version | None:
    """The version of the recogniser with that fingerprint, or None. Creates nothing."""
    with _speaking():
        client = _connect_existing()
        return client and _find_fingerprint(client, dataset, fingerprint)


def find_number(dataset: str, number: str) -> Version:
    """The version of that number; NotRegisteredError without it."""
    from mlflow.exceptions import MlflowException

    with _speaking():
        client = _connect_existing()
        if client is not None:
            try:
                return _version(client.get_model_version(dataset, number))
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
    raise NotRegisteredError(f"{dataset} has no version {number}; register one with `make repro`")


def fetch(version: Version, folder: Path) -> Path:
    """Copy what was logged into `folder`, and return where in it the recogniser's folder is."""
    from mlflow.artifacts import download_artifacts

    with _speaking():
        client = _connect()
        uri = client.get_model_version_download_uri(version.model, version.number)
        with mlflow_store.patient_transfer():
            logged = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    found = sorted(logged.glob(f"artifacts/*/{CARD}"))
    if not found:
        raise RegistryError(f"{version} holds no {CARD}; was it registered by other code?")
    return found[0].parent


def promote(version: Version) -> Version | None:
    """Make it the champion, and the champion so far the previous one, which is returned.

    Promoting the champion changes nothing.
    """
    with _speaking(), _locked():
        client = _connect()
        _finish_move(client, version.model)
        champion = _aliases(client, version.model).get(CHAMPION)
        if champion != version.number:
            _move(client, version.model, PROMOTION, version.number, champion)
    return find(version.model, PREVIOUS)


def roll_back(dataset: str) -> Version:
    """Make the previous version the champion again, and the champion the previous one.

    Returns the new champion; NotRegisteredError when there is no previous one. A call that was
    killed is finished by the next, which then does no more than that.
    """
    with _speaking(), _locked():
        client = _connect()
        done = _finish_move(client, dataset) == ROLL_BACK
        aliases = _aliases(client, dataset)
        target = aliases.get(CHAMPION if done else PREVIOUS)
        if target is None:
            raise NotRegisteredError(
                f"{dataset} has no version under the alias {PREVIOUS}: none was promoted over "
                "another yet, so there is nothing to go back to"
            )
        version = _version(client.get_model_version(dataset, target))
        if not done:
            _move(client, dataset, ROLL_BACK, target, aliases.get(CHAMPION))
        return version


def set_tags(version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version, over older values."""
    with _speaking():
        client = _connect()
        for key, value in tags.items():
            client.set_model_version_tag(version.model, version.number, key, value)


def _create_version(
    client: "MlflowClient", dataset: str, bundle: Path, card: RecogniserCard, model_id: str
) -> Version:
    _ensure_registered_model(client, dataset)
    model = client.get_logged_model(model_id)
    return _version(
        client.create_model_version(
            dataset,
            source=f"models:/{model_id}",
            run_id=model.source_run_id,
            tags=_tags(bundle, card),
            model_id=model_id,
        )
    )


def _tags(bundle: Path, card: RecogniserCard) -> dict[str, str]:
    tests = read_test_scores(bundle)
    result = accuracy(tests.scores, tests.labels)
    return {
        FINGERPRINT: card.fingerprint,
        NEW: "true",
        "split": str(card.split),
        "combination": card.combination,
        "test.mean_class_accuracy": f"{result.mean_class_accuracy:.4f}",
        "test.top1": f"{result.top1:.4f}",
        "test.videos": str(len(tests.videos)),
    }


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _find_fingerprint(client: "MlflowClient", name: str, fingerprint: str) -> Version | None:
    equal = f"name = '{name}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
    found = client.search_model_versions(equal)
    return _version(found[0]) if found else None


@dataclass(frozen=True)
class _Aliases:
    """Version numbers by alias, as they are to be once `move`, if any, is finished."""

    numbers: Mapping[str, str]
    move: Mapping[str, Any] | None


def _aliases(client: "MlflowClient", name: str) -> Mapping[str, str]:
    return _read_aliases(client, name).numbers


def _read_aliases(client: "MlflowClient", name: str) -> _Aliases:
    """The aliases; none when no such model is registered."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return _Aliases({}, None)
    # A SQLite store has whole numbers.
    numbers = {alias: str(number) for alias, number in model.aliases.items()}
    move = json.loads(model.tags[MOVE]) if MOVE in model.tags else None
    if move and _has_begun(move, numbers) and _exists(client, name, move[PREVIOUS]):
        numbers[PREVIOUS] = move[PREVIOUS]
    return _Aliases(numbers, move)


def _exists(client: "MlflowClient", name: str, number: str | None) -> bool:
    """Whether there is a version of that number: somebody may have deleted it."""
    equal = f"name = '{name}'"
    return number is not None and any(
        str(found.version) == number for found in client.search_model_versions(equal)
    )


def _has_begun(move: Mapping[str, Any], numbers: Mapping[str, str]) -> bool:
    return bool(numbers.get(CHAMPION) == move[CHAMPION])


def _move(
    client: "MlflowClient", name: str, kind: str, champion: str, previous: str | None
) -> None:
    """Change both aliases. What is to be is written down first, as two calls do it."""
    move = {"kind": kind, CHAMPION: champion, PREVIOUS: previous}
    client.set_registered_model_tag(name, MOVE, json.dumps(move))
    client.set_registered_model_alias(name, CHAMPION, champion)
    _finish_move(client, name)


def _finish_move(client: "MlflowClient", name: str) -> str | None:
    """Finish a move that has begun, and return its kind; forget one that has not."""
    found = _read_aliases(client, name)
    if found.move is None:
        return None
    begun = _has_begun(found.move, found.numbers)
    if begun and PREVIOUS in found.numbers:
        client.set_registered_model_alias(name, PREVIOUS, found.numbers[PREVIOUS])
    client.delete_registered_model_tag(name, MOVE)
    return str(found.move["kind"]) if begun else None


def _version(found: "ModelVersion") -> Version:
    return Version(
        model=found.name,
        number=str(found.version),
        run_id=found.run_id or "",
        fingerprint=found.tags.get(FINGERPRINT, ""),
        tags=dict(found.tags),
    )


def _connect() -> "MlflowClient":
    return _everywhere(mlflow_store.connect())


def _connect_existing() -> "MlflowClient | None":
    client = mlflow_store.connect_existing()
    return client and _everywhere(client)


def _everywhere(client: "MlflowClient") -> "MlflowClient":
    """MLflow looks logged models and artifacts up in the process's own store, not the client's."""
    import mlflow

    mlflow.set_tracking_uri(client.tracking_uri)
    return client


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Alone in a local store, which is made if it is not there; a server has no lock of ours."""
    database = mlflow_store.sqlite_file(mlflow_store.tracking_uri())
    with mlflow_store.lock_beside(database, "registry.lock"):
        with mlflow_store.creation_lock(database):
            _connect().search_registered_models(max_results=1)
        yield


@contextlib.contextmanager
def _speaking() -> Iterator[None]:
    """What MLflow raises, as one line that names the store."""
    if not mlflow_store.tracking_is_on():
        raise RegistryError("TSN_TRACKING is off, and with it the model registry")
    mlflow_store.set_environment()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RegistryError(f"MLflow ({mlflow_store.tracking_uri()}): {lines[0][:300]}") from error
