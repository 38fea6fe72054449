"""Kill -9 of servers, worker and what runs on it: `make server` and its schedule recover."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect_server import answers, created_prefect_database, free_port, states
from toy_grid import (
    BINARIES,
    DVC,
    STAGE,
    cells,
    cleaned,
    dvc,
    environment,
    forget_results,
    kill_one,
    make_workspace,
    require_nobody,
    results,
    running,
    wait_until,
)

from stages.tracking import runs

KILLS_OF_A_KIND = 1
SECONDS = 900.0
PREFECT, WORKER, MLFLOW, FLOW_RUN = (
    *("prefect_app:create_app", "prefect worker start", "mlflow server", "-m prefect.engine"),
)
VICTIMS = (PREFECT, WORKER, MLFLOW, FLOW_RUN, DVC, STAGE)
GRID = "from flows.reproduce import reproduce\n"
DEPLOYMENTS = """
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $TSN_WORKSPACE }}"}
deployments:
  - name: grid
    entrypoint: grid.py:reproduce
    work_pool: {name: tsn}
    concurrency_limit: {limit: 1, collision_strategy: CANCEL_NEW}
    schedules: [{interval: 30}]
"""
TRACKED = """
    name = options.out.stem
    if name.isdigit():  # a training
        from stages.tracking import runs
        with runs.run(
            part="toy", dataset="toy", name=name, key={"cell": name}, params={}, tags={"toy": "yes"}
        ) as run:
            run.log_metrics({"loss": 0.5}, step=1)
"""


@contextmanager
def served(workspace: Path, home: Path) -> Iterator[tuple[dict[str, str], str]]:
    """`make server` in the workspace, once it has deployed; yields what leads to its servers.

    Ctrl-C ends it, with all that it started.
    """
    ports = [free_port(), free_port()]
    options = ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    with cleaned(workspace), (home / "server.log").open("w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "server", *options],
            cwd=workspace,
            env=environment(
                PREFECT_HOME=str(home),
                PREFECT_API_BLOCKS_REGISTER_ON_START="false",
                TSN_TRACKING="on",
            ),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(
                lambda: server.poll() is not None or running(workspace, WORKER), "a worker", 240
            )
            assert server.poll() is None
            secret = (workspace / f".tsn/prefect/{ports[0]}").read_text().strip()
            api = f"http://127.0.0.1:{ports[0]}/api"
            where = {"PREFECT_API_URL": api, "PREFECT_API_AUTH_STRING": secret}
            yield where, f"http://127.0.0.1:{ports[1]}"
            assert server.poll() is None
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read())
            server.kill()
            server.wait()
            raise
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        require_nobody(workspace)


@pytest.mark.slow
def test_a_schedule_recovers_from_kills_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the guard of the SQLAlchemy pin: with 2.1, nothing is ever scheduled."""
    chance = random.Random(20161008)
    text = cells(2, 1.0)
    undisturbed = make_workspace(tmp_path / "undisturbed", text)
    workspace = make_workspace(tmp_path / "grid", text)
    cell = (workspace / "cell.py").read_text().replace("    text = ", TRACKED + "    text = ")
    for folder in (undisturbed, workspace):
        (folder / "cell.py").write_text(cell)
    dvc(undisturbed, "repro", "-q")
    (workspace / "grid.py").write_text(GRID)
    (workspace / "prefect.yaml").write_text(DEPLOYMENTS)
    home = tmp_path / "home"
    home.mkdir()
    (home / "prefect.db").write_bytes(created_prefect_database())
    kills = dict.fromkeys(VICTIMS, 0)
    deadline = time.monotonic() + SECONDS
    with served(workspace, home) as (prefect, mlflow):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
        logged = False  # by a round: while MLflow is away, cells do without
        while min(kills.values()) < KILLS_OF_A_KIND or not logged:
            finish(workspace, kills, chance, deadline)
            assert results(workspace) == results(undisturbed)
            forget_results(workspace)
            wait_until(lambda: answers(f"{mlflow}/health"), "MLflow's server")
            logged = bool(runs.find_runs("toy", {"toy": "yes"}))
        wait_until(lambda: answers(f"{prefect['PREFECT_API_URL']}/health"), "Prefect's server")
        wait_until(lambda: "CRASHED" in states(prefect), "a crashed run", SECONDS, pause=1.0)


def finish(workspace: Path, kills: dict[str, int], chance: random.Random, deadline: float) -> None:
    """Waits until scheduled runs have done everything, and kills while there are kills left."""
    fused = workspace / "fuse.txt"
    while not (fused.is_file() and is_up_to_date(workspace) and not running(workspace, FLOW_RUN)):
        assert time.monotonic() < deadline, f"never finished; killed so far: {kills}"
        wait_until(lambda: fused.is_file() or running(workspace, DVC), "a cell", SECONDS)
        time.sleep(chance.uniform(0.1, 3.0))
        left = [kind for kind in kills if kills[kind] < KILLS_OF_A_KIND]
        if left and not fused.is_file():
            kind = chance.choice(left)
            kills[kind] += kill_one(workspace, kind, chance)


def is_up_to_date(workspace: Path) -> bool:
    """Whether nothing is left to do; not while a scheduled run is at it, whose locks are held."""
    done = subprocess.run(
        [BINARIES / "dvc", "--wait-for-lock", "status", "--json"],
        cwd=workspace,
        env=environment(),
        capture_output=True,
        text=True,
    )
    return done.returncode == 0 and done.stdout.strip() == "{}"
