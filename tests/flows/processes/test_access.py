"""The secret of a Prefect server: whose it is, and who is told it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from flows.processes import access

SET = ("PREFECT_API_URL", access.ASKED_WITH, access.ASKED_FOR, access.ORIGINS)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file with the secret of a server on port 4299, which is set nowhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SET:
            patch.setenv(name, "")  # so that it is set back
        patch.setenv("PREFECT_HOME", str(tmp_path))
        patch.chdir(tmp_path)
        path = access.open_server(tmp_path, 4299)
        for name in SET:
            del os.environ[name]
        yield path
    refresh_global_settings_context()


def test_a_secret_is_its_owners_and_stays(opened: Path, tmp_path: Path) -> None:
    secret = opened.read_text()
    assert len(secret) > 40 and opened.stat().st_mode & 0o777 == 0o600
    assert access.open_server(tmp_path, 4299).read_text() == secret
    assert os.environ[access.ASKED_WITH] == os.environ[access.ASKED_FOR] == secret.strip()
    assert os.environ[access.ORIGINS] == "http://127.0.0.1:4299,http://localhost:4299"
    opened.chmod(0o644)  # others may have read it
    assert access.open_server(tmp_path, 4299).read_text() != secret
    assert opened.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("url", "own", "sent"),
    [
        ("http://127.0.0.1:4299/api", None, "that of the file"),
        ("http://localhost:4299/api", None, "that of the file"),
        ("http://127.0.0.1:4298/api", None, None),
        ("http://elsewhere:4299/api", None, None),
        ("http://127.0.0.1:4299/api", "me:mine", "me:mine"),
    ],
)
def test_only_its_server_is_told_it(
    opened: Path, url: str, own: str | None, sent: str | None
) -> None:
    os.environ["PREFECT_API_URL"] = url
    if own:
        os.environ[access.ASKED_WITH] = own
    expected = opened.read_text().strip() if sent == "that of the file" else sent
    assert taken() == expected
    assert access.ASKED_FOR not in os.environ


def test_a_temporary_server_has_a_secret_of_its_own_and_no_pages(opened: Path) -> None:
    secret = taken()
    assert secret == os.environ[access.ASKED_FOR] != opened.read_text().strip()
    assert os.environ[access.ORIGINS] == ""
    for name in SET[1:]:
        del os.environ[name]
    assert taken() != secret


def taken() -> str | None:
    """The secret that Prefect's clients send, once our flows are imported."""
    refresh_global_settings_context()
    access.take_secret()
    found = get_current_settings().api.auth_string
    return found.get_secret_value() if found else None
