"""Prefect servers, of a test's own or of all tests, and other commands that run beside them."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from toy_grid import cleaned, require_nobody
from warm_python import warm_binaries
from workspace import ROOT, SHARED

from flows import server as own_server
from flows.processes import leash

SECRET = "tsn:secret"  # of the servers here
PREFECT = Path(sys.executable).parent / "prefect"
START_SECONDS = 240
HELD = "held"  # a pipe in that folder, which the run's first process holds open


@contextmanager
def prefect_server(home: Path, port: int | None = None) -> Iterator[dict[str, str]]:
    """Yields the environment that leads to a new server, whose database is in `home`.

    For a test that kills its server; others use `shared_server`.
    """
    port = port or free_port()
    prepare_home(home)
    environment = server_environment(home, port)
    with background(home, server_path(environment), "server", *server_command(port)):
        wait_for_server(home, environment)
        yield environment


@cache
def shared_server() -> dict[str, str]:
    """The environment that leads to the server of all processes of a test run.

    The first that needs it starts it, on a leash: it ends when nobody holds the run's pipe open,
    so at the end of the run, and also if that is killed.
    """
    home = Path(os.environ[SHARED]) / "server"
    told = home / "environment.json"
    with locked("server.lock"):
        if not told.is_file():
            home.mkdir(exist_ok=True)
            prepare_home(home)
            port = free_port()
            environment = server_environment(home, port)
            start_on_a_leash(home, server_path(environment), server_command(port))
            wait_for_server(home, environment)
            told.write_text(json.dumps(environment))
    return dict(json.loads(told.read_text()))


_left_running: list["subprocess.Popen[bytes]"] = []  # Python warns of one that is forgotten


def start_on_a_leash(folder: Path, environment: dict[str, str], command: Sequence[str]) -> None:
    """Starts a server that ends with the test run; its output is in server.log."""
    pipe = os.open(Path(os.environ[SHARED]) / HELD, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(pipe, True)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", leash.__file__, "group", *command],
            cwd=folder,
            env=os.environ | environment,
            stdin=pipe,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.close(pipe)
    _left_running.append(process)


def share_folder() -> Callable[[], None]:
    """Makes the folder of a test run, whose first process this is; returns what ends all there."""
    folder = Path(tempfile.mkdtemp(prefix="tsn-tests-"))
    os.environ[SHARED] = str(folder)
    os.environ["DVC_SITE_CACHE_DIR"] = str(folder / "dvc")
    os.mkfifo(folder / HELD)
    warm_binaries(folder)
    return partial(_end_sharing, folder, os.open(folder / HELD, os.O_RDWR))


def _end_sharing(folder: Path, pipe: int) -> None:
    os.close(pipe)
    with cleaned(folder):
        require_nobody(folder, seconds=60.0)
    shutil.rmtree(folder)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Held by one process of the test run at a time."""
    with (Path(os.environ[SHARED]) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def server_command(port: int) -> list[str]:
    """The command of the server that `tsn server` starts."""
    program, *arguments = own_server.prefect_server(port)
    return [str(PREFECT.with_name(program)), *arguments]


def server_path(environment: dict[str, str]) -> dict[str, str]:
    """The environment, in which the server finds the project's modules."""
    return {**environment, "PYTHONPATH": str(ROOT)}


def server_environment(home: Path, port: int) -> dict[str, str]:
    return {
        "PREFECT_SERVER_API_AUTH_STRING": SECRET,
        "PREFECT_API_AUTH_STRING": SECRET,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # seconds, for what nobody here uses
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }


def prepare_home(home: Path) -> None:
    """Puts a fresh database where a server looks for it."""
    if not (home / "prefect.db").exists():
        (home / "prefect.db").write_bytes(created_prefect_database())


def wait_for_server(home: Path, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(f"{environment['PREFECT_API_URL']}/health"):
        assert time.monotonic() < deadline, (home / "server.log").read_text()
        time.sleep(0.2)


@cache
def created_prefect_database() -> bytes:
    """The bytes of a fresh Prefect database, whose tables take ten seconds to create.

    Made once for all processes of a test run.
    """
    home = Path(os.environ[SHARED])
    with locked("database.lock"):
        if not (home / "created").exists():
            command = [PREFECT, "server", "database", "upgrade", "--yes"]
            environment = os.environ | {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "true"}
            subprocess.run(command, env=environment, check=True, capture_output=True)
            (home / "created").touch()
    return (home / "prefect.db").read_bytes()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    with suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    return False


@contextmanager
def background(
    folder: Path, environment: dict[str, str], name: str, *command: str
) -> Iterator[None]:
    """A command that runs until the block ends; its output is in <name>.log."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:  # a worker can wait for what it will never get
                process.kill()
                process.wait()


def states(server: dict[str, str]) -> list[str]:
    """The states of all flow runs, oldest first."""
    runs = ask(server, "flow_runs/filter", sort="EXPECTED_START_TIME_ASC")
    return [run["state_type"] for run in runs]


def login(secret: str) -> dict[str, str]:
    """The header that brings the secret of a Prefect server."""
    return {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"}


def ask(server: dict[str, str], path: str, **body: object) -> Any:
    """What the server's API answers; it says 503, or nothing, while it or its database is busy."""
    request = urllib.request.Request(
        f"{server['PREFECT_API_URL']}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **login(server["PREFECT_API_AUTH_STRING"])},
    )
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except (TimeoutError, urllib.error.HTTPError) as error:
            busy = isinstance(error, TimeoutError) or error.code == 503
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
