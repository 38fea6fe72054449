"""Cells on other machines: a real server, two workers in clones of their own, one DVC remote."""

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prefect_server import ask, background, free_port, prefect_server, shared_server
from toy_grid import (
    cells,
    cleaned,
    dvc,
    environment,
    git,
    lock_file,
    make_workspace,
    results,
    running,
    wait_until,
)
from workspace import ROOT, warm

from flows.grid.remote import committed
from flows.processes.programs import ProgramError

DEPLOYMENTS = """
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "{{ $TSN_WORKSPACE }}"}
deployments:
  - {name: far, entrypoint: "flows/grid/remote.py:remote_cell", work_pool: {name: far}}
"""
# Who ran a cell is told beside the workspace: a checkout's name.
SIGNED = """
    folder = Path(os.environ["TSN_WORKSPACE"]).parent
    (folder / "ran").open("a").write(f"{options.out}\\n")
"""
# Each training waits for the other, so that both workers have to take one.
TOGETHER = """
    while options.out.stem.isdigit() and len(list(folder.parent.glob("worker*/ran"))) < 2:
        time.sleep(0.1)
"""
CONFIG = """
[core]
    autostage = false
    remote = shared
['remote "shared"']
    url = {remote}
"""


def make_project(folder: Path, remote: Path, more: str = "") -> Path:
    """A toy pipeline in git, with the project's code, whose cells say who ran them."""
    head = make_workspace(folder / "head/project", cells(2, 0.0))
    for name in ("flows", "stages", "tsn"):
        ignored = shutil.ignore_patterns("*.pyc.*")  # that are being written
        shutil.copytree(ROOT / name, head / name, ignore=ignored)
    cell = (head / "cell.py").read_text()
    signed = cell.replace("    gpus = ", f"{SIGNED}{more}    gpus = ").replace(
        '"leases"', '"/dev/null"'
    )
    (head / "cell.py").write_text(signed)
    (head / "prefect.yaml").write_text(DEPLOYMENTS)
    (head / ".gitignore").write_text("/*.txt\n/inbox\n/.tsn\n__pycache__\n/mlflow.db*\n")
    (head / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (head / ".dvc/config").write_text(CONFIG.format(remote=remote))
    git(head, "init", "-q", "-b", "main")
    git(head, "add", "-A")
    git(head, "commit", "-q", "-m", "toy")
    return head


def clone(head: Path, folder: Path) -> Path:
    folder.mkdir()
    git(folder, "clone", "-q", str(head), "project")
    return folder / "project"


def ran(checkout: Path) -> list[str]:
    path = checkout.parent / "ran"
    return path.read_text().split() if path.is_file() else []


@pytest.mark.slow
def test_workers_train_and_the_head_takes_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = make_project(tmp_path, tmp_path / "remote", TOGETHER)
    workers = [clone(head, tmp_path / name) for name in ("worker1", "worker2")]
    server = shared_server()
    ask(server, "work_pools/", name="far", type="process")
    with ExitStack() as stack:
        stack.enter_context(cleaned(tmp_path))
        subprocess.run(
            [warm() / "prefect", "--no-prompt", "deploy", "--all"],
            cwd=head,
            env=os.environ | server,
            check=True,
            capture_output=True,
        )
        for worker in workers:
            more = environment(
                **server,
                TSN_WORKSPACE=str(worker),
                PYTHONPATH=str(worker),
                PREFECT_WORKER_QUERY_SECONDS="2",
            )
            program = str(warm() / "prefect")
            command = [program, "worker", "start", "--pool", "far", "--limit", "1"]
            stack.enter_context(background(worker.parent, more, "worker", *command))
        done = subprocess.run(
            [warm() / "python", "-m", "flows.cli", "grid", "--pool", "far", "--jobs", "2"],
            cwd=head,
            env=environment(**server, TSN_WORKSPACE=str(head), PYTHONPATH=str(head)),
            capture_output=True,
            text=True,
            timeout=400,
        )
        logs = [(worker.parent / "worker.log").read_text()[-3000:] for worker in workers]
        assert done.returncode == 0, done.stderr[-3000:] + "\n".join(logs)
    assert sorted(ran(head)) == ["fuse.txt", "prep.txt"]
    assert all(ran(worker) for worker in workers)
    assert sorted(name for worker in workers for name in ran(worker)) == ["1.txt", "2.txt"]
    assert dvc(head, "status", "--json").strip() == "{}"
    assert [path.name for path in workers[0].glob(".tsn/trees/*")] == []
    alone = clone(head, tmp_path / "alone")
    monkeypatch.setenv("TSN_WORKSPACE", str(alone))
    dvc(alone, "repro", "-q")
    assert results(alone) == results(head)
    assert lock_file(head).is_file()


@pytest.mark.slow
def test_two_runs_of_one_cell_on_a_worker_follow_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = make_project(tmp_path, tmp_path / "remote")
    monkeypatch.setenv("TSN_WORKSPACE", str(head))
    dvc(head, "repro", "-q", "prep")
    dvc(head, "push", "-q", "--run-cache")
    worker = clone(head, tmp_path / "worker")
    (tmp_path / "one_cell.py").write_text(
        "import pathlib, sys\nfrom flows.grid.remote import remote_cell\n"
        "remote_cell.fn('train@1', sys.argv[1], pathlib.Path(sys.argv[2]).read_text())\n"
    )
    more = {"TSN_WORKSPACE": str(worker), "PYTHONPATH": f"{worker}{os.pathsep}{tmp_path}"}
    both = [
        subprocess.Popen(
            [warm() / "python", "-m", "one_cell", committed(head), lock_file(head)],
            cwd=worker,
            env=environment(**more),
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert ran(worker) == ["1.txt"]
    assert list(worker.glob(".tsn/trees/*")) == []


# Sends one cell to a pool that has no worker, and stops when its input ends.
SENDER = """
import sys, threading
from pathlib import Path
from flows.grid import remote
from flows.grid.plan import Cell
from flows.processes.programs import StoppedError

ask, told = remote._state_of, []

def tell(run):
    if not told:
        told.append(run)
        print(run, flush=True)
    return ask(run)

remote.POLL_SECONDS, remote._state_of = 0.2, tell
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
head = remote.Head(workspace=Path.cwd(), graph={"a": ()}, commit="c", pool="far", stop=stop)
try:
    head.send(Cell(name="a", upstreams=()))
    print("sent")
except StoppedError as error:
    print(error)
"""


def sender(folder: Path, server: dict[str, str]) -> "subprocess.Popen[str]":
    (folder / "sender.py").write_text(SENDER)
    return subprocess.Popen(
        [warm() / "python", "-m", "sender"],
        cwd=folder,
        env=environment(**server, PREFECT_CLIENT_MAX_RETRIES="0"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_sent_cell_outlives_an_outage_is_sent_once_and_is_cancelled_with_its_head(
    tmp_path: Path,
) -> None:
    home, folder, port = tmp_path / "prefect", tmp_path / "head", free_port()
    home.mkdir()
    folder.mkdir()

    def runs() -> list[Any]:
        return list(ask(server, "flow_runs/filter", sort="EXPECTED_START_TIME_ASC"))

    with prefect_server(home, port) as server, cleaned(tmp_path):
        flow = ask(server, "flows/", name="cell")
        ask(server, "deployments/", name="far", flow_id=flow["id"])
        first, again = sender(folder, server), sender(folder, server)
        assert line(first) == line(again)  # of the same inputs: one run
        for pid in running(home, "prefect"):
            os.kill(pid, signal.SIGKILL)
        assert first.stderr is not None
        while "does not answer" not in (said := first.stderr.readline()):
            assert said
        with prefect_server(home, port):
            (run,) = runs()
            state = {"type": "COMPLETED"}
            ask(server, f"flow_runs/{run['id']}/set_state", state=state, force=True)
            assert (line(first), line(again)) == ("sent", "sent")
            third = sender(folder, server)  # what has ended is no answer to it
            assert line(third) != run["id"]
            for process in (first, again, third):
                out, _ = process.communicate("", timeout=60)
            assert out == "stopped: a\n"
            wait_until(lambda: "CANCELL" in runs()[-1]["state_type"], "cancelled")


def test_what_is_not_committed_is_no_commit_for_others(tmp_path: Path) -> None:
    head = make_project(tmp_path, tmp_path / "remote")
    assert len(committed(head)) == 40
    (head / "params.yaml").write_text("machine: {}\n")
    with pytest.raises(ProgramError, match=r"commit these first:\n.*params\.yaml"):
        committed(head)
    git(head, "checkout", "-q", "params.yaml")
    dvc(head, "remote", "remove", "shared")
    git(head, "commit", "-q", "-a", "-m", "no remote")
    with pytest.raises(ProgramError, match="no DVC remote"):
        committed(head)
