"""`make server`: a port that is taken, programs that end, runs that fall silent."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect_server import login, prefect_server, shared_server, states
from toy_grid import cleaned, environment, wait_until
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin
from workspace import ROOT, copy_project, warm

from flows.cli.__main__ import app
from flows.processes import services
from flows.processes.programs import ProgramError
from flows.processes.start import require_answer

FLOW = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def toy():
    if not Path("pid").exists():
        Path("pid").write_text(str(os.getpid()))
        time.sleep(600)
"""
SERVED = """
from toy import toy
toy.serve(name="toy", interval=5, limit=1)
"""


@pytest.mark.slow
def test_a_run_that_dies_with_its_worker_is_marked_as_crashed(tmp_path: Path) -> None:
    """As when a machine goes down: nobody is left to tell."""
    (tmp_path / "toy.py").write_text(FLOW)
    (tmp_path / "home").mkdir()
    pid = tmp_path / "pid"
    with prefect_server(tmp_path / "home") as where, cleaned(tmp_path):
        more = environment(**where, PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30")
        worker = subprocess.Popen([sys.executable, "-c", SERVED], cwd=tmp_path, env=more)
        marks = "mark_zombies(35)\n" * 2  # as at a restart
        (tmp_path / "mark.py").write_text(f"from flows.zombies import mark_zombies\n{marks}")
        mark = [warm() / "python", "-m", "mark"]
        subprocess.run(mark, cwd=tmp_path, env=more, check=True)
        wait_until(pid.is_file, "a run")
        time.sleep(2)  # for its first heartbeat
        worker.kill()
        os.kill(int(pid.read_text()), signal.SIGKILL)
        worker.wait()
        wait_until(lambda: "CRASHED" in states(where), "a run that is marked as crashed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 200),
        ({"Origin": "{own}"}, 200),  # its UI
        ({"Authorization": ""}, 401),
        (login("tsn:guessed"), 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),  # a page from a file, or in a frame
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another server of this machine
        ({"Host": "evil.example"}, 403),  # which its owner lets lead here
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
    ],
)
def test_prefect_answers_its_own_pages_and_who_has_the_secret(
    more: dict[str, str], code: int
) -> None:
    server = shared_server()
    own = server["PREFECT_API_URL"].removesuffix("/api")
    headers = {**login(server["PREFECT_API_AUTH_STRING"]), "Content-Type": "application/json"}
    headers |= {name: value.format(own=own) for name, value in more.items()}
    request = urllib.request.Request(f"{own}/api/flows/filter", b"{}", headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == code
    except urllib.error.HTTPError as error:
        with error:
            assert error.code == code


@pytest.mark.slow
def test_a_websocket_of_another_page_is_refused() -> None:
    api = shared_server()["PREFECT_API_URL"].replace("http:", "ws:")
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"{api}/events/out", origin=Origin("http://evil.example"))


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [warm() / "python", "-m", "flows.cli", "server", "--prefect-port", str(port)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"tsn server: port {port} is taken by pid {os.getpid()} (" in done.stderr
    assert "or choose another port by --port" in done.stderr


def test_a_program_that_ends_is_started_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(services, "PAUSE_SECONDS", 0.0)
    running = services.Services(tmp_path)
    try:
        running.start("thing", ["python", "-c", "print('because'); raise SystemExit(3)"])
        with pytest.raises(ProgramError, match="the thing ended with 3; it said last: because"):
            running.keep()
    finally:
        running.stop()
    assert capsys.readouterr().out.count("starting it again") == services.OFTEN
    log = tmp_path / ".tsn/logs/thing.log"
    assert log.read_text().split() == ["because"] * (services.OFTEN + 1)


@pytest.mark.parametrize("command", ["ui", "serve", "server"])
def test_every_command_that_opens_a_port_takes_it_by_one_option(
    tmp_path: Path, command: str
) -> None:
    for port in ("0", "65536"):
        done = CliRunner().invoke(app, [command, "--port", port])
        assert done.exit_code == 2 and "Invalid value for '--port'" in done.output
    copy_project(ROOT, tmp_path, ("Makefile", "pyproject.toml", "requirements.lock", ".dvc/config"))
    for made in (".venv/.ready", ".dvc/config.local"):  # as after `make setup`
        (tmp_path / made).parent.mkdir(exist_ok=True)
        (tmp_path / made).touch()
    make = ["make", "--no-print-directory", "--dry-run", command, "PORT=5005"]
    told = subprocess.run(make, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    words = told.splitlines()[-1].split()
    assert words[:2] == ["tsn", command] and words[-2:] == ["--port", "5005"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "http://no such host/api"])
def test_a_prefect_server_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    with (
        temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.raises(
            ValueError, match=r"no Prefect server answers at .*unset PREFECT_API_URL, to"
        ),
    ):
        require_answer(url)
