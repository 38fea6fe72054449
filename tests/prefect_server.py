"""A Prefect server of a test's own, and other commands that run beside it."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PREFECT = Path(sys.executable).parent / "prefect"
START_SECONDS = 120
SHARED = "TSN_TESTS_FOLDER"  # the variable with a folder of all processes of a test run


@contextmanager
def prefect_server(home: Path, port: int | None = None) -> Iterator[dict[str, str]]:
    """Yields the environment that leads to a new server, whose database is in `home`."""
    port = port or free_port()
    if not (home / "prefect.db").exists():
        (home / "prefect.db").write_bytes(created_prefect_database())
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }
    with background(home, environment, "server", "start", "--port", str(port)):
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{environment['PREFECT_API_URL']}/health"):
            assert time.monotonic() < deadline, (home / "server.log").read_text()
            time.sleep(0.5)
        yield environment


@cache
def created_prefect_database() -> bytes:
    """The bytes of a fresh Prefect database, whose tables take ten seconds to create.

    Made once for all processes of a test run.
    """
    home = Path(os.environ[SHARED])
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
def background(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[None]:
    """A prefect command that runs until the block ends; its output is in <command>.log."""
    with (folder / f"{arguments[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [PREFECT, *arguments],
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


def states(api: str) -> list[str]:
    """The states of all flow runs, oldest first."""
    body = json.dumps({"sort": "EXPECTED_START_TIME_ASC"}).encode()
    request = urllib.request.Request(
        f"{api}/flow_runs/filter", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return [run["state_type"] for run in json.load(answer)]
