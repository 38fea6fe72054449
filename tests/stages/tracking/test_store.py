"""The store's settings: short waits, but for files."""

import os
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from stages.tracking import registry, store


class Slow(BaseHTTPRequestHandler):
    """Says nothing for longer than the set timeout of a request."""

    def do_GET(self) -> None:
        time.sleep(1.5)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def slow_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for variable in store.ENVIRONMENT:
        monkeypatch.delenv(variable, raising=False)
    settings = {**store.ENVIRONMENT, store.TIMEOUT: "1"}
    monkeypatch.setattr(store, "ENVIRONMENT", settings)
    server = HTTPServer(("127.0.0.1", 0), Slow)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of who went away
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_slow_server_is_waited_for_while_files_move_and_not_else(slow_server: str) -> None:
    store.set_environment()
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import MlflowHostCreds, http_request

    def ask() -> int:
        return int(
            http_request(MlflowHostCreds(slow_server), "/", "GET", max_retries=0).status_code
        )

    with store.patient_transfer():
        assert ask() == 200
    with pytest.raises(MlflowException, match=r"timed out|Timeout"):
        ask()


def test_a_callers_own_timeout_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, during in ((None, store.TRANSFER_SECONDS), ("20", "20")):
        with monkeypatch.context() as patch:
            patch.delenv(store.TIMEOUT, raising=False)
            if given:
                patch.setenv(store.TIMEOUT, given)
            with store.patient_transfer():
                assert os.environ[store.TIMEOUT] == during
            assert os.environ[store.TIMEOUT] == (given or "5")


def test_a_copy_for_an_experiment_uses_the_projects_store(tmp_path: Path) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmp8x1/work"
    assert store.checkout_of(copy) == tmp_path
    assert store.checkout_of(copy.parent) == tmp_path
    assert store.checkout_of(tmp_path) == tmp_path
    assert store.checkout_of(tmp_path / "exps") == tmp_path / "exps"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "sqlite:///{root}/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///{root}/mlflow.db"),
        ("sqlite:///./my db/x.db?timeout=9", "sqlite:///{root}/my db/x.db?timeout=9"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("./mlruns", "{root}/mlruns"),
        ("file:mlruns", "file:{root}/mlruns"),
        ("file:///srv/mlruns", "file:///srv/mlruns"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("databricks", "databricks"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
    ],
)
def test_a_relative_address_begins_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    """Also in a worktree of the project, whose runs are those of the project."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    expected = expected.format(root=tmp_path)
    assert store.tracking_uri(tmp_path) == expected
    monkeypatch.setattr(store, "PROJECT_ROOT", tmp_path / ".tsn/trees/retrain-x/below")
    assert store.tracking_uri() == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host:5000/mlflow", "https://host:5000/mlflow"),
        ("https://token@host", "https://host"),
        ("https://me:sec@ret@host/a", "https://host/a"),
        ("https://me:sec/ret@host/a", "https://host/a"),
        ("postgresql+psycopg2://me:secret@host/db", "postgresql+psycopg2://host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&"),
        ("to https://me:secret@host/api failed", "to https://host/api failed"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("models:/mine@champion", "models:/mine@champion"),
    ],
)
def test_no_shown_address_has_a_password(text: str, shown: str) -> None:
    assert store.without_credentials(text) == shown


class Asking(Slow):
    """Refuses everything, and keeps who asked."""

    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"])
        self.send_error(403)

    def do_POST(self) -> None:
        self.do_GET()


def test_a_password_in_the_address_reaches_the_server_and_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in (*store.ENVIRONMENT, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, store.ENVIRONMENT.get(variable, ""))
    server = HTTPServer(("127.0.0.1", 0), Asking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:sec%2Fret@{host}/")
    try:
        assert store.tracking_uri() == f"http://{host}/"
        with pytest.raises(registry.RegistryError) as told:
            registry.find("toy", registry.CHAMPION)
    finally:
        server.shutdown()
        server.server_close()
    assert Asking.asked[0] == f"Basic {b64encode(b'me:sec/ret').decode()}"
    assert "secret" not in str(told.value) and "sec%2Fret" not in str(told.value)
    assert f"MLflow (http://{host}/)" in str(told.value)
