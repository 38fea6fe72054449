"""The chain as a Prefect flow: on its temporary server, and on one that stays, with real DVC."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect_server import free_port, prefect_server
from toy_grid import (
    cells,
    cleaned,
    dvc,
    environment,
    make_workspace,
    processes,
    require_nobody,
    results,
    running,
    wait_until,
)

BAD = """
      bad: {cmd: echo because && exit 3, outs: [bad.txt]}
      below: {cmd: touch below.txt, deps: [bad.txt], outs: [below.txt]}
"""
FLOW = [sys.executable, "-m", "flows.cli", "grid"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where temporary servers keep their database: making one takes longer than a flow."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


def run_flow(workspace: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*FLOW, *arguments],
        cwd=workspace,
        env=flow_environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
    )


@contextmanager
def started_flow(
    workspace: Path, *arguments: str, **more: str
) -> Iterator["subprocess.Popen[str]"]:
    """The flow as a process, once two cells run."""
    with cleaned(workspace):
        process = subprocess.Popen(
            [*FLOW, "--jobs", "2", *arguments],
            cwd=workspace,
            env=flow_environment(**more),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: len(running(workspace, "cell.py --seconds 60")) == 2, "two cells")
        yield process
        process.communicate(timeout=60)


def flow_environment(**more: str) -> dict[str, str]:
    return environment(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120", **more)


@pytest.mark.slow
def test_flow_on_its_temporary_server_is_dvc_repro_and_leaves_nobody(
    tmp_path: Path, home: Path
) -> None:
    """Also the guard of the fastapi pin: with a newer one, every flow run dies."""
    sequential = make_workspace(tmp_path / "sequential", cells(3, 0.0))
    dvc(sequential, "repro", "-q")
    workspace = make_workspace(tmp_path / "flow", cells(3, 0.0))
    done = run_flow(workspace, PREFECT_HOME=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed()" in done.stderr
    assert "grid: 5 ran" in done.stderr
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
    assert look(server).tasks == {"check": "Failed"}


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["front", "flow"])
def test_killed_flow_leaves_neither_cells_nor_its_temporary_server(
    tmp_path: Path, whom: str, home: Path
) -> None:
    """The front is the process that a user started; the flow runs in one that it holds."""
    make_workspace(tmp_path, cells(2, 60.0, fuse=False))
    with started_flow(tmp_path, PREFECT_HOME=str(home)) as process:
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
    make_workspace(tmp_path, cells(2, 60.0, fuse=False))
    where = server if with_server else {"PREFECT_HOME": str(home)}
    with started_flow(tmp_path, **where) as process:
        process.send_signal(getattr(signal, name))
        require_nobody(tmp_path, seconds=30.0)
        assert process.wait(5) != 0


@dataclass(frozen=True)
class Seen:
    """What Prefect's UI shows of the latest flow run."""

    state: str
    tasks: dict[str, str]
    artifacts: dict[str, Any]


LOOK = """
import json, sys
from prefect import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling

with get_client(sync_client=True) as client:
    run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)[0]
    if sys.argv[1:] == ["cancel"]:
        client.set_flow_run_state(run.id, Cancelling())
    tasks = {t.name: t.state.name for t in client.read_task_runs() if t.flow_run_id == run.id}
    kept = {a.key: a.data for a in client.read_artifacts() if a.flow_run_id == run.id}
    print(json.dumps([run.state.name, tasks, kept]))
"""


def look(server: dict[str, str], *arguments: str) -> Seen:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments],
        env=os.environ | server,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return Seen(*json.loads(done.stdout))


@pytest.mark.slow
def test_server_shows_cells_progress_links_and_a_table(
    tmp_path: Path, server: dict[str, str]
) -> None:
    make_workspace(tmp_path, cells(1, 8.0) + BAD)
    done = run_flow(tmp_path, **server)
    assert done.returncode == 1
    assert "bad failed:\nbecause" in done.stderr
    assert "skipped, as they need what failed: below" in done.stderr
    assert "Traceback" not in done.stderr
    seen = look(server)
    assert seen.state == "Failed"
    expected = {"prep": "Completed", "train@1": "Completed", "fuse": "Completed", "bad": "Failed"}
    assert seen.tasks == expected
    rows = json.loads(seen.artifacts["grid"])
    outcomes = {row["cell"]: (row["outcome"], row["MLflow"]) for row in rows}
    assert outcomes == {
        "prep": ("ran", "[run](http://mlflow/prep)"),
        "train@1": ("ran", "[run](http://mlflow/1)"),
        "fuse": ("ran", "[run](http://mlflow/fuse)"),
        "bad": ("failed", ""),
        "below": ("skipped", ""),
    }
    assert "http://mlflow/1" in seen.artifacts["mlflow-train-1"]
    assert seen.artifacts["progress-train-1"] == 100.0
    again = run_flow(tmp_path, "fuse", **server)
    assert again.returncode == 0
    assert "grid: everything is up to date" in again.stderr


@pytest.mark.slow
def test_cancelled_in_the_ui_ends_the_cells_and_is_cancelled(
    tmp_path: Path, server: dict[str, str]
) -> None:
    make_workspace(tmp_path, cells(2, 60.0, fuse=False))
    with started_flow(tmp_path, **server) as process:
        look(server, "cancel")
        require_nobody(tmp_path, seconds=20.0)
        assert process.wait(5) == 1
    assert look(server).state == "Cancelled"


@pytest.mark.slow
def test_server_that_is_killed_does_not_stop_the_cells(tmp_path: Path) -> None:
    home, workspace = tmp_path / "prefect", make_workspace(tmp_path / "flow", cells(4, 4.0))
    home.mkdir()
    with prefect_server(home) as server, cleaned(workspace):
        process = subprocess.Popen(
            [*FLOW, "--jobs", "2"],
            cwd=workspace,
            env=flow_environment(**server),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: len(running(workspace, "cell.py --seconds 4")) == 2, "two cells")
        for pid in running(home, "prefect"):
            os.kill(pid, signal.SIGKILL)
        assert process.stderr is not None
        told = ""
        while "grid: 6 ran" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        process.kill()  # Prefect would try for a minute to get rid of its events
        process.communicate()
        require_nobody(workspace)
    assert (workspace / "fuse.txt").is_file()
    assert dvc(workspace, "status", "--json").strip() == "{}"


@pytest.mark.slow
def test_server_that_comes_back_can_cancel_the_grid(tmp_path: Path) -> None:
    home, workspace, port = tmp_path / "prefect", tmp_path / "flow", free_port()
    make_workspace(workspace, cells(2, 60.0, fuse=False))
    home.mkdir()
    with prefect_server(home, port) as server, cleaned(workspace):
        more = {**server, "PREFECT_CLIENT_MAX_RETRIES": "0"}  # or it takes a minute to give up
        with started_flow(workspace, **more) as process:
            for pid in running(home, "prefect"):
                os.kill(pid, signal.SIGKILL)
            assert process.stderr is not None
            while "Prefect is not reachable" not in (line := process.stderr.readline()):
                assert line
            with prefect_server(home, port):
                look(server, "cancel")
                require_nobody(workspace, seconds=60.0)
                assert process.wait(30) == 1
                assert look(server).state == "Cancelled"
