"""MLflow's model registry: a dataset's recognisers as versions of the model of its name.

The alias `challenger` is the newest that was registered, `champion` the one in use, `previous`
the champion before it. Every function can be killed between any two calls to the store and be
called again: a recogniser, known by its fingerprint, is never registered twice, a new version
becomes the challenger, and a roll back is finished by the next call. Unlike tracking, what
goes wrong here is raised.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.tracking import notes, store
from stages.tracking.logged_model import FINGERPRINT, logged_model
from tsn.metrics import Accuracy, accuracy
from tsn.recogniser.card import (
    CARD,
    FORMAT,
    PROJECT,
    VERSION,
    RecogniserCard,
    read_test_scores,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

PROJECT_VERSION, FORMAT_TAG = "tsn.version", "tsn.format"  # tags of versions
ACCURACY = "test.mean_class_accuracy"  # a tag of versions, on the test list of each
NEW = "new"  # a tag of a version, until it has been the challenger
ROLLED_BACK_FROM = "rolled_back_from"  # a tag of the registered model, while two aliases swap


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


def register(dataset: str, bundle: Path, run_id: str) -> Version:
    """Return the version of the recogniser in `bundle`, made if need be.

    A new one is logged under the run `run_id` and becomes the challenger. RecogniserError for a
    folder that is not whole.
    """
    from tsn.recogniser.folder import load_recogniser_card  # loads PyTorch

    card = load_recogniser_card(bundle)
    with _store_alone() as client:
        version = _find_fingerprint(client, dataset, card.fingerprint)
        if version is None:
            model_id = logged_model(client, dataset, bundle, card, run_id)
            version = _create_version(client, dataset, bundle, card, model_id)
        if NEW in version.tags:
            client.set_registered_model_alias(dataset, CHALLENGER, version.number)
            client.delete_model_version_tag(dataset, version.number, NEW)
        return _version(client.get_model_version(dataset, version.number))


def is_registered(dataset: str, fingerprint: str) -> bool:
    """Return whether there is a version of that recogniser, and it has been the challenger."""
    version = find_fingerprint(dataset, fingerprint)
    return version is not None and NEW not in version.tags


def find(dataset: str, alias: str) -> Version | None:
    """Return the version under an alias, or None. Creates nothing."""
    with _existing_store() as client:
        number = _aliases(client, dataset).get(alias) if client else None
        return _find_number(client, dataset, number) if client and number else None


def find_fingerprint(dataset: str, fingerprint: str) -> Version | None:
    """Return the version of the recogniser with that fingerprint, or None. Creates nothing."""
    with _existing_store() as client:
        return client and _find_fingerprint(client, dataset, fingerprint)


def find_number(dataset: str, number: str) -> Version:
    """Return the version of that number; raise NotRegisteredError without it."""
    with _existing_store() as client:
        found = client and _find_number(client, dataset, number)
    if found is None:
        raise NotRegisteredError(
            f"{dataset} has no version {number}; `tsn sync` registers what is packaged"
        )
    return found


def find_best(dataset: str, *, but: Version) -> Version | None:
    """Return the other version with the best accuracy on its own test list, the newest of equals.

    None where there is no other that this project can read. Creates nothing.
    """
    with _existing_store() as client:
        versions = client.search_model_versions(f"name = '{dataset}'") if client else ()
        found = [version for version in map(_version, versions) if version.number != but.number]
    usable = [row for row in found if row.tags.get(FORMAT_TAG) == str(FORMAT)]
    return max(usable, key=lambda row: (float(row.tags[ACCURACY]), int(row.number)), default=None)


def fetch(version: Version, folder: Path) -> Path:
    """Copy what was logged into `folder`, and return where in it the recogniser's folder is."""
    from mlflow.artifacts import download_artifacts

    with mlflow_errors():
        uri = _connect().get_model_version_download_uri(version.model, version.number)
        with store.patient_transfer():
            logged = Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    found = sorted(logged.glob(f"artifacts/*/{CARD}"))
    if not found:
        raise RegistryError(f"{version} holds no {CARD}; was it registered by other code?")
    return found[0].parent


def promote(version: Version) -> Version | None:
    """Make it the champion, and the champion so far the previous one, which is returned.

    Promoting the champion changes nothing. The previous one is set first, so that a call that is
    killed in between loses no champion.
    """
    with _store_alone() as client:
        _finish_roll_back(client, version.model)
        champion = _aliases(client, version.model).get(CHAMPION)
        if champion != version.number:
            if champion is not None:
                client.set_registered_model_alias(version.model, PREVIOUS, champion)
            client.set_registered_model_alias(version.model, CHAMPION, version.number)
    return find(version.model, PREVIOUS)


def roll_back(dataset: str) -> Version:
    """Make the previous version the champion again, and the champion the previous one.

    Returns the new champion; NotRegisteredError when there is no previous one. A call that was
    killed is finished by the next, which then does no more than that. As two aliases swap, no order
    of two calls would do: the champion's number is written down before.
    """
    with _store_alone() as client:
        done = _finish_roll_back(client, dataset)
        aliases = _aliases(client, dataset)
        champion, previous = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        target = champion if done else previous
        if target is None or (not done and previous == champion):
            raise NotRegisteredError(
                f"{dataset} has no version under the alias {PREVIOUS}: none was promoted over "
                "another yet, so there is nothing to go back to"
            )
        version = _version(client.get_model_version(dataset, target))
        if not done:
            if champion is not None:
                client.set_registered_model_tag(dataset, ROLLED_BACK_FROM, champion)
            client.set_registered_model_alias(dataset, CHAMPION, target)
            _finish_roll_back(client, dataset)
        return version


def set_tags(version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version, over older values."""
    with mlflow_errors():
        client = _connect()
        for key, value in tags.items():
            client.set_model_version_tag(version.model, version.number, key, value)


def _create_version(
    client: "MlflowClient", dataset: str, bundle: Path, card: RecogniserCard, model_id: str
) -> Version:
    _ensure_registered_model(client, dataset)
    model = client.get_logged_model(model_id)
    tests, run = read_test_scores(bundle), client.get_run(model.source_run_id)
    result = accuracy(tests.scores, tests.labels)
    return _version(
        client.create_model_version(
            dataset,
            source=f"models:/{model_id}",
            run_id=model.source_run_id,
            tags=_tags(card, result, len(tests.videos)),
            description=notes.version_note(card, result, len(tests.videos), run),
            model_id=model_id,
        )
    )


def made_by(version: Version) -> str:
    """Return by which version of the project a recogniser was made, if not by this one as it is."""
    made, format_ = version.tags.get(PROJECT_VERSION), version.tags.get(FORMAT_TAG)
    if (made, format_) == (VERSION, str(FORMAT)):
        return ""
    if made is None:
        return f"an older version of this project (the commit is in MLflow's run {version.run_id})"
    return f"version {made} (its format is {format_}; version {VERSION} has {FORMAT})"


def _tags(card: RecogniserCard, result: Accuracy, test_videos: int) -> dict[str, str]:
    return {
        FINGERPRINT: card.fingerprint,
        NEW: "true",
        **({PROJECT_VERSION: made} if (made := card.libraries.get(PROJECT)) else {}),
        FORMAT_TAG: str(card.format),
        "split": str(card.split),
        "combination": card.description,
        ACCURACY: f"{result.mean_class_accuracy:.4f}",
        "test.top1": f"{result.top1:.4f}",
        "test.videos": str(test_videos),
    }


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=notes.model_note(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _find_fingerprint(client: "MlflowClient", name: str, fingerprint: str) -> Version | None:
    equal = f"name = '{name}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
    found = client.search_model_versions(equal)
    return _version(found[0]) if found else None


def _find_number(client: "MlflowClient", name: str, number: str) -> Version | None:
    found = map(_version, client.search_model_versions(f"name = '{name}'"))
    return next((version for version in found if version.number == number), None)


def _aliases(client: "MlflowClient", name: str) -> Mapping[str, str]:
    """Return version numbers by alias; none when no such model is registered."""
    model = _registered_model(client, name)
    # A SQLite store has whole numbers.
    return {alias: str(number) for alias, number in model.aliases.items()} if model else {}


def _registered_model(client: "MlflowClient", name: str) -> "RegisteredModel | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _finish_roll_back(client: "MlflowClient", name: str) -> bool:
    """Finish a roll back that was killed; return whether it had got as far as the champion."""
    model = _registered_model(client, name)
    before = model.tags.get(ROLLED_BACK_FROM) if model else None
    if before is None:
        return False
    has_begun = _aliases(client, name).get(CHAMPION) != before
    if has_begun and _find_number(client, name, before):  # somebody may have deleted it
        client.set_registered_model_alias(name, PREVIOUS, before)
    client.delete_registered_model_tag(name, ROLLED_BACK_FROM)
    return bool(has_begun)


def _version(found: "ModelVersion") -> Version:
    return Version(
        model=found.name,
        number=str(found.version),
        run_id=found.run_id or "",
        fingerprint=found.tags.get(FINGERPRINT, ""),
        tags=dict(found.tags),
    )


def _connect() -> "MlflowClient":
    return _use_store(store.connect())


def _use_store(client: "MlflowClient") -> "MlflowClient":
    """Have MLflow look logged models and artifacts up in the client's store, too."""
    import mlflow

    mlflow.set_tracking_uri(client.tracking_uri)
    return client


@contextlib.contextmanager
def _existing_store() -> "Iterator[MlflowClient | None]":
    """Give a client of the store, None where nobody has created one."""
    with mlflow_errors():
        client = store.connect_existing()
        yield client and _use_store(client)


@contextlib.contextmanager
def _store_alone() -> "Iterator[MlflowClient]":
    """Give a client of a local store that nobody else writes to, made if it is not there.

    A server has no lock of ours.
    """
    with mlflow_errors(), store.hold_database_lock("registry.lock"):
        with store.hold_database_lock():
            client = _connect()
            client.search_registered_models(max_results=1)
        yield client


@contextlib.contextmanager
def mlflow_errors() -> Iterator[None]:
    """Raise what MLflow raises as one line that names the store."""
    if not store.tracking_is_on():
        raise RegistryError("TSN_TRACKING is off, and with it the model registry")
    store.set_environment()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        lines = store.without_credentials(error).strip().splitlines() or [type(error).__name__]
        raise RegistryError(f"MLflow ({store.shown_uri()}): {lines[0][:300]}") from error
