"""The chain as a Prefect flow: on its temporary server, and on one that stays, with real DVC."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect_server import ask, free_port, prefect_server, prepare_home, shared_server
from toy_grid import (
    cells,
    cleaned,
    dvc,
    environment,
    hold,
    let_go,
    make_workspace,
    processes,
    require_nobody,
    results,
    running,
    wait_until,
)
from workspace import warm

BAD = """
      bad: {cmd: echo because && exit 3, outs: [bad.txt]}
      below: {cmd: touch below.txt, deps: [bad.txt], outs: [below.txt]}
"""
FLOW = ["-m", "flows.cli", "grid"]
BEGINS = re.compile(r"Beginning flow run '(?P<name>[^']+)'")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where temporary servers keep their database."""
    folder = tmp_path_factory.mktemp("home")
    prepare_home(folder)
    return folder


@pytest.fixture
def server() -> dict[str, str]:
    return shared_server()


def run_flow(workspace: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The flow from beginning to end."""
    return subprocess.run(
        [warm() / "python", *FLOW, *arguments],
        cwd=workspace,
        env=flow_environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
    )


@contextmanager
def started_flow(
    workspace: Path, seconds: int, **more: str
) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """The flow as a process, to be killed or stopped, once two cells run of so many seconds.

    And the name of its run.
    """
    process = subprocess.Popen(
        [sys.executable, *FLOW, "--jobs", "2"],
        cwd=workspace,
        env=flow_environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with cleaned(workspace):
            said = read_until(process, BEGINS.pattern)
            wait_until(lambda: two_cells_run(process, workspace, seconds), "two cells that run")
            yield process, run_name(said)
            process.communicate(timeout=60)
    finally:
        process.communicate()


def two_cells_run(process: "subprocess.Popen[str]", workspace: Path, seconds: int) -> bool:
    """Fails with what the flow said if it has ended."""
    if process.poll() is not None:
        raise AssertionError(f"the flow ended: {process.communicate()[1]}")
    return len(running(workspace, f"cell.py --seconds {seconds}")) == 2


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """What a process says on stderr, up to the line with these words, a pattern."""
    assert process.stderr is not None
    said = ""
    while not re.search(words, said):
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def run_name(said: str) -> str:
    """The name of the flow run that a flow has told of."""
    found = BEGINS.search(said)
    assert found, said
    return found["name"]


def flow_environment(**more: str) -> dict[str, str]:
    return environment(
        **{
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
            **more,
        }
    )


@pytest.mark.slow
def test_flow_on_its_temporary_server_is_dvc_repro_and_leaves_nobody(
    tmp_path: Path, home: Path
) -> None:
    """Also the guard of the fastapi pin: with a newer one, every flow run dies."""
    sequential = make_workspace(tmp_path / "sequential", cells(2, 0.0))
    dvc(sequential, "repro", "-q")
    workspace = make_workspace(tmp_path / "flow", cells(2, 0.0))
    done = run_flow(workspace, PREFECT_HOME=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed('4 of 4 cells done')" in done.stderr
    assert "cells: 4 ran" in done.stderr
    assert results(workspace) == results(sequential)
    assert processes(workspace) == {}


CHECK = """
      check:
        matrix: {dataset: [synthetik]}
        cmd: python -m stages.operate.check --dataset ${item.dataset} --out checked.json
        deps: [params.yaml]
        outs: [checked.json]
"""


@pytest.mark.slow
def test_bad_params_fail_the_flow_before_a_cell_runs(
    tmp_path: Path, server: dict[str, str]
) -> None:
    make_workspace(tmp_path, cells(1, 0.0) + CHECK)
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("datasets: [synthetic]", "datasets: [synthetik]"))
    done = run_flow(tmp_path, **server)
    assert done.returncode == 1
    assert "check failed:" in done.stderr
    assert "recipes/synthetik.yaml: no such recipe" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "dvc.lock").exists()
    assert look(server, run_name(done.stderr)).tasks == {"check": "Failed"}


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["front", "flow"])
def test_killed_flow_leaves_neither_cells_nor_its_temporary_server(
    tmp_path: Path, whom: str, home: Path
) -> None:
    """The front is the process that a user started; the flow runs in one that it holds."""
    make_workspace(tmp_path, cells(2, 60.0, prep=False, fuse=False))
    with started_flow(tmp_path, 60, PREFECT_HOME=str(home)) as (process, _):
        assert running(tmp_path, "uvicorn")
        lines = processes(tmp_path)
        (flow,) = [
            pid
            for pid in running(tmp_path, "-m flows.cli")
            if pid != process.pid and "leash.py" not in lines[pid]
        ]
        os.kill(process.pid if whom == "front" else flow, signal.SIGKILL)
        require_nobody(tmp_path, seconds=30.0)
        assert process.wait(5) != 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "with_server"), [("SIGINT", False), ("SIGTERM", True)])
def test_stopped_flow_leaves_nobody(
    tmp_path: Path, name: str, with_server: bool, home: Path, server: dict[str, str]
) -> None:
    make_workspace(tmp_path, cells(2, 60.0, prep=False, fuse=False))
    where = server if with_server else {"PREFECT_HOME": str(home)}
    with started_flow(tmp_path, 60, **where) as (process, _):
        process.send_signal(getattr(signal, name))
        require_nobody(tmp_path, seconds=30.0)
        assert process.wait(5) != 0


@dataclass(frozen=True)
class Seen:
    """What Prefect's UI shows of a flow run."""

    state: str
    tasks: dict[str, str]
    artifacts: dict[str, Any]
    log: str


def look(server: dict[str, str], name: str) -> Seen:
    """What there is of the flow run of that name, among those of other tests."""
    (run,) = named(server, name)
    one = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    tasks = {row["name"]: row["state_name"] for row in ask(server, "task_runs/filter", **one)}
    kept = {row["key"]: row["data"] for row in ask(server, "artifacts/filter", **one)}
    mine = {"flow_run_id": {"any_": [run["id"]]}}
    log = "\n".join(row["message"] for row in ask(server, "logs/filter", logs=mine))
    return Seen(run["state_name"], tasks, kept, log)


def named(server: dict[str, str], name: str) -> list[Any]:
    return list(ask(server, "flow_runs/filter", flow_runs={"name": {"any_": [name]}}))


def cancel(server: dict[str, str], name: str) -> None:
    """As the button in the UI does."""
    (run,) = named(server, name)
    state = {"type": "CANCELLING", "name": "Cancelling"}
    ask(server, f"flow_runs/{run['id']}/set_state", state=state)


@pytest.mark.slow
def test_server_shows_cells_progress_links_and_a_table(
    tmp_path: Path, server: dict[str, str]
) -> None:
    make_workspace(tmp_path, cells(1, 5.0) + BAD)
    done = run_flow(tmp_path, **server)
    assert done.returncode == 1
    assert "bad failed:\nbecause" in done.stderr
    assert "skipped, as they need what failed: below" in done.stderr
    assert "Traceback" not in done.stderr
    seen = look(server, run_name(done.stderr))
    assert seen.state == "Failed"
    expected = {"prep": "Completed", "train@1": "Completed", "fuse": "Completed", "bad": "Failed"}
    assert seen.tasks == expected
    rows = json.loads(seen.artifacts["grid-all"])
    outcomes = {row["cell"]: (row["state"], row["MLflow"]) for row in rows}
    assert outcomes == {
        "prep": ("ran", "[run](http://mlflow/prep)"),
        "train@1": ("ran", "[run](http://mlflow/1)"),
        "fuse": ("ran", "[run](http://mlflow/fuse)"),
        "bad": ("failed", ""),
        "below": ("skipped", ""),
    }
    assert seen.artifacts.keys() == {"grid-all", "progress-all"}
    assert seen.artifacts["progress-all"] == 60.0  # three of five cells have a result
    assert "cells that are not up to date: 5" in seen.log
    assert "[5 of 5] fuse: ran in" in seen.log and "bad: failed in" in seen.log
    again = run_flow(tmp_path, "fuse", **server)
    assert again.returncode == 0
    assert "cells: everything is up to date" in again.stderr
    assert look(server, run_name(again.stderr)).artifacts == {"progress-all": 100.0}


@pytest.mark.slow
def test_cancelled_in_the_ui_ends_the_cells_and_is_cancelled(
    tmp_path: Path, server: dict[str, str]
) -> None:
    make_workspace(tmp_path, cells(2, 60.0, prep=False, fuse=False))
    with started_flow(tmp_path, 60, **server) as (process, name):
        cancel(server, name)
        require_nobody(tmp_path, seconds=20.0)
        assert process.wait(5) == 1
    assert look(server, name).state == "Cancelled"


@pytest.mark.slow
def test_server_that_is_killed_does_not_stop_the_cells_and_can_cancel_when_it_comes_back(
    tmp_path: Path,
) -> None:
    """Two grids: one ends before the server is back, one is cancelled then."""
    home, port = tmp_path / "prefect", free_port()
    home.mkdir()
    short = make_workspace(tmp_path / "short", cells(2, 1.0))
    hold(short, "1.txt", "2.txt")
    long = make_workspace(tmp_path / "long", cells(2, 300.0, prep=False, fuse=False))
    with prefect_server(home, port) as server, cleaned(short), cleaned(long):
        hasty = {**server, "PREFECT_CLIENT_MAX_RETRIES": "1"}  # or it takes a minute to give up
        with (
            started_flow(long, 300, **hasty) as (waiting, name),
            started_flow(short, 1, **server) as (going_on, _),
        ):
            for pid in running(home, "prefect"):
                os.kill(pid, signal.SIGKILL)
            read_until(waiting, "Prefect is not reachable")
            let_go(short)
            read_until(going_on, "cells: 4 ran")
            going_on.kill()  # Prefect would try for a minute to get rid of its events
            going_on.communicate()
            require_nobody(short)
            with prefect_server(home, port):
                cancel(server, name)
                require_nobody(long, seconds=60.0)
                assert waiting.wait(30) == 1
                assert look(server, name).state == "Cancelled"
    assert (short / "fuse.txt").is_file()
    assert dvc(short, "status", "--json").strip() == "{}"
