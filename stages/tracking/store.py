"""The MLflow store: where it is, and how to reach it without breaking it or waiting for it.

`MLFLOW_TRACKING_URI` chooses the store (by default `mlflow.db` in the project root, its artifacts
in `mlartifacts/` beside it) and `TSN_TRACKING=off` turns it off.
"""

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import unquote, urlsplit

from stages.runtime.places import (
    ARTIFACTS,
    DATABASE,
    DVC_EXPERIMENTS,
    LOCKS,
    PROJECT_ROOT,
    STUDY_TREE,
    TREES,
    make_private,
    make_private_file,
    mlflow_database,
)
from stages.tracking import notes, views
from tsn.locks import try_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

# Where copies of the project are: DVC's, and those of the flows.
EXPERIMENTS, WORKTREES = DVC_EXPERIMENTS.parts, TREES.parts
# An address that holds a path of this machine: no server's, nor `sqlite:///:memory:`.
WITH_PATH = re.compile(r"(sqlite:///|file:(?!//))?((?!databricks|uc$|[^/]*:).+)")
LOCK_SECONDS = 60.0
SYNC_LOCK_SECONDS = 600.0  # a registration uploads some hundred MB
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
TRANSFER_SECONDS = "300"  # that a server may be silent about a file of some hundred MB

# The UI otherwise takes the experiment for one of language models and hides its runs.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

# What stands before the host, also if a password holds a slash that should be written as %2F; and a
# password among a database's options.
CREDENTIALS = re.compile(
    r"(?<=://)(?:[^/\s]*|[^/\s:]*:(?!\d+[/?#])\S*)@|(?<=[?&])password=[^&\s]*", re.IGNORECASE
)

# A server that is down must cost seconds: MLflow's own defaults wait four minutes per call.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    TIMEOUT: "5",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it leads to the wrong half of the UI
}


def tracking_is_on() -> bool:
    """Return whether TSN_TRACKING says so; raise ValueError for another word than on and off."""
    switch = os.environ.get("TSN_TRACKING", "on")
    if switch not in ("on", "off"):
        raise ValueError(f"TSN_TRACKING is 'on' or 'off', not {switch!r}")
    return switch == "on"


def tracking_uri(root: Path | None = None) -> str:
    """Return the address of the store of a checkout, by default of this one.

    A path in it that is relative begins there, not where a copy of the project runs. A server's
    user and password go from `MLFLOW_TRACKING_URI` to the variables that MLflow has for them, so
    that no link or message of MLflow holds them. A database's address keeps them: see `shown_uri`.
    """
    root = checkout_of(PROJECT_ROOT) if root is None else root
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return mlflow_database(root)
    parts = urlsplit(uri) if uri.startswith("http") else None
    if parts and parts.username and parts.password:
        uri = os.environ["MLFLOW_TRACKING_URI"] = without_credentials(uri)
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    found = WITH_PATH.fullmatch(uri)
    return f"{found[1] or ''}{root.resolve() / found[2]}" if found else uri


def without_credentials(text: object) -> str:
    """Return the text, in which no address has a user's name and password."""
    return CREDENTIALS.sub("", str(text))


def shown_uri() -> str:
    """Return the address of the store as it may be shown and stored."""
    return without_credentials(tracking_uri())


def checkout_of(root: Path) -> Path:
    """Return the project's own folder, where `root` is a copy of it.

    `dvc exp run --temp` and `--queue` run in `.dvc/tmp/exps/<name>`, retraining and the cells of
    other machines in `.tsn/trees/<name>`. Both are removed in the end.
    """
    for parent in root.parents:
        for copies in (EXPERIMENTS, WORKTREES):
            if parent.parts[-len(copies) :] == copies:
                return Path(*parent.parts[: -len(copies)])
    return root


def is_experiment() -> bool:
    """Return whether this is a copy for an experiment or a study, which registers no recogniser."""
    return any(
        folder.parts[-len(EXPERIMENTS) :] == EXPERIMENTS
        or (folder.parts[-len(WORKTREES) :] == WORKTREES and below.name.startswith(STUDY_TREE))
        for below, folder in pairwise((PROJECT_ROOT, *PROJECT_ROOT.parents))
    )


def sqlite_file(uri: str) -> Path | None:
    """Return the database that a store is; None for a server."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute()


def set_environment() -> None:
    """Give MLflow the settings above where the caller has none; before it is imported."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def connect() -> "MlflowClient":
    """Return a client of the store; create a database that is not there (`hold_database_lock`)."""
    set_environment()
    from mlflow import MlflowClient

    make_database_private(tracking_uri())
    for chatty in ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=tracking_uri())


def make_database_private(uri: str) -> None:
    """Make the checkout's own database for its owner's eyes; another one is as its owner has it."""
    checkout = checkout_of(PROJECT_ROOT)
    if uri == mlflow_database(checkout):
        make_private_file(checkout / DATABASE, make_private(checkout))


def connect_existing() -> "MlflowClient | None":
    """Return a client of the store; None for a database that nobody has created yet.

    One that is being created is waited for. TimeoutError when that takes too long.
    """
    database = sqlite_file(tracking_uri())
    if database is not None and not database.is_file():
        return None
    with hold_database_lock():
        return connect()


@contextlib.contextmanager
def patient_transfer() -> Iterator[None]:
    """Give MLflow's requests the time that files take; a caller's own setting stays."""
    set_environment()
    before = os.environ[TIMEOUT]
    if before == ENVIRONMENT[TIMEOUT]:
        os.environ[TIMEOUT] = TRANSFER_SECONDS
    try:
        yield
    finally:
        os.environ[TIMEOUT] = before


@contextlib.contextmanager
def hold_database_lock(suffix: str = "lock") -> Iterator[None]:
    """Hold the lock `<database>.<suffix>`; no lock for a store that is a server.

    Without a suffix it is that of the tables: two processes that create them at once destroy them.
    """
    database = sqlite_file(tracking_uri())
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{database}.{suffix}").open("w") as lock:
        _wait_for(lock, LOCK_SECONDS)
        yield


@contextlib.contextmanager
def hold_sync_lock() -> Iterator[None]:
    """Hold the lock of those who log finished results from this project, its copies among them.

    Two that log one result at once would give it two runs. TimeoutError when it stays taken.
    """
    path = checkout_of(PROJECT_ROOT) / LOCKS / "sync"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        _wait_for(lock, SYNC_LOCK_SECONDS)
        yield


def _wait_for(lock: TextIO, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not try_lock(lock):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{lock.name} was not free within {seconds:.0f} s")
        time.sleep(0.05)


def ensure_experiment(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment of that name, created or restored if need be."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        database = sqlite_file(client.tracking_uri)
        artifacts = None if database is None else (database.parent / ARTIFACTS / name).as_uri()
        try:
            return str(client.create_experiment(name, artifacts, tags=experiment_tags(name)))
        except MlflowException:
            # Another process was first: a server has no lock of ours.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        logger.info("the MLflow experiment %s was deleted: it is restored", name)
        client.restore_experiment(experiment.experiment_id)
    if experiment.tags.get(views.MADE) != views.NAMES:  # made by an older version
        for tag, value in experiment_tags(name).items():
            client.set_experiment_tag(experiment.experiment_id, tag, value)
    return str(experiment.experiment_id)


def experiment_tags(name: str) -> dict[str, str]:
    """Return what an experiment shows in the UI: its kind, its description, its saved views.

    They are set once: what a person changes or deletes stays so.
    """
    return {**EXPERIMENT_TAGS, notes.NOTE: notes.experiment_note(name), **views.tags()}
