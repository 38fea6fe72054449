"""`make server` on ports of its own: schedules run, and a killed run is noticed, by whom ever."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from prefect_server import free_port, prefect_server
from toy_grid import cleaned, environment, require_nobody, wait_until

ROOT = Path(__file__).parents[1]
FLOW = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def toy():
    os.chdir(Path(__file__).parent)
    runs = Path("runs")
    first = not runs.exists()
    with runs.open("a") as file:
        file.write("run\\n")
    if first:
        Path("pid").write_text(str(os.getpid()))
        time.sleep(600)
"""
DEPLOYMENTS = """
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $TSN_WORKSPACE }}"}
deployments:
  - name: toy
    entrypoint: toy.py:toy
    work_pool: {name: tsn}
    schedules: [{interval: 10}]
"""


def states(api: str) -> list[str]:
    """The states of all flow runs, oldest first."""
    body = json.dumps({"sort": "EXPECTED_START_TIME_ASC"}).encode()
    request = urllib.request.Request(
        f"{api}/flow_runs/filter", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return [run["state_type"] for run in json.load(answer)]


@pytest.mark.slow
def test_schedules_run_and_the_next_run_follows_one_that_was_killed(tmp_path: Path) -> None:
    """Also the guard of the SQLAlchemy pin: with 2.1, nothing is ever scheduled."""
    workspace = tmp_path / "project"
    workspace.mkdir()
    (workspace / "toy.py").write_text(FLOW)
    (workspace / "prefect.yaml").write_text(DEPLOYMENTS)
    ports = [free_port(), free_port()]
    api = f"http://127.0.0.1:{ports[0]}/api"
    options = ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    pid, runs = workspace / "pid", workspace / "runs"
    with cleaned(workspace):
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.server", *options],
            cwd=workspace,
            env=environment(PREFECT_HOME=str(tmp_path / "home")),
        )
        wait_until(lambda: server.poll() is not None or pid.is_file(), "a run", seconds=240)
        assert server.poll() is None
        os.kill(int(pid.read_text()), signal.SIGKILL)
        wait_until(lambda: "CRASHED" in states(api), "a run that is marked as crashed")
        wait_until(lambda: len(runs.read_text().split()) > 1, "the next run")
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        require_nobody(workspace)


SERVED = """
from toy import toy
toy.serve(name="toy", interval=5)
"""


@pytest.mark.slow
def test_a_run_that_dies_with_its_worker_is_marked_as_crashed(
    tmp_path: Path,
) -> None:
    """As when a machine goes down: nobody is left to tell."""
    (tmp_path / "toy.py").write_text(FLOW)
    (tmp_path / "home").mkdir()
    pid = tmp_path / "pid"
    with prefect_server(tmp_path / "home") as server, cleaned(tmp_path):
        more = environment(**server, PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30")
        worker = subprocess.Popen([sys.executable, "-c", SERVED], cwd=tmp_path, env=more)
        program = "from flows.zombies import mark_zombies; mark_zombies(35)"
        subprocess.run([sys.executable, "-c", program], env=more, check=True)
        subprocess.run([sys.executable, "-c", program], env=more, check=True)  # as at a restart
        wait_until(pid.is_file, "a run")
        time.sleep(2)  # for its first heartbeat
        worker.kill()
        os.kill(int(pid.read_text()), signal.SIGKILL)
        worker.wait()
        api = server["PREFECT_API_URL"]
        wait_until(lambda: "CRASHED" in states(api), "a run that is marked as crashed")


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "flows.server", "--prefect-port", str(port)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"server: port {port} is taken" in done.stderr and "--prefect-port" in done.stderr
