"""The environment: no proxy to this machine, a home to write to, text on any terminal."""

import io
import os
import pwd
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest

from stages.runtime import environment
from stages.runtime.environment import IN_HOME, PROXIES, SOCKS, prepare


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*PROXIES, "no_proxy", SOCKS, *IN_HOME, "USER", "PYTHONIOENCODING"]
    for name in (*names, *(name.upper() for name in names)):
        monkeypatch.setenv(name, "")  # so that it is put back, too
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "127.0.0.1:9", "socks5://127.0.0.1:9", "socks://x:1"]
)
def test_this_machine_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("NO_PROXY", "intranet")
    prepare()
    prepare()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"
    for host in ("127.0.0.1:4200", "localhost:5000", "intranet"):
        assert urllib.request.proxy_bypass(host)
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):  # not: no such proxy
        client.get("http://127.0.0.1:1")


def test_without_a_proxy_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare()
    assert "no_proxy" not in os.environ and "NO_PROXY" not in os.environ


def test_one_proxy_for_all_is_that_of_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://secure:2")
    prepare()
    found = urllib.request.getproxies()
    assert (found["http"], found["https"]) == ("http://all:1", "http://secure:2")


def test_home_that_is_missing_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "HOME", tmp_path / "instead")
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare()
    assert not IN_HOME.keys() & os.environ.keys()  # it is there: all stays where it was
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    prepare()
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "instead/.prefect")
    assert Path(os.environ["XDG_CACHE_HOME"]).is_dir() and os.environ["MPLCONFIGDIR"] == "/mine"


def test_user_without_a_name_and_a_home_gets_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(environment, "HOME", tmp_path / "instead")
    monkeypatch.setenv("HOME", "")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    prepare()
    assert os.environ["USER"] == str(os.getuid())
    assert Path.home() == tmp_path / "instead" and Path.home().is_dir()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("ascii", "ascii:replace"), ("latin-1:strict", "latin-1:replace"), ("", ":replace")],
)
def test_what_a_terminal_lacks_is_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", given)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    prepare()
    sys.stdout.write("─ prójéct →\n")
    sys.stdout.flush()
    assert terminal.buffer.getvalue() == b"? pr?j?ct ?\n"  # type: ignore[attr-defined]
    assert os.environ["PYTHONIOENCODING"] == expected
