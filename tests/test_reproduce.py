"""A real Prefect flow, on its temporary server, that starts a real `dvc repro`."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

BINARIES = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
DVC_YAML = """
stages:
  good: {cmd: echo done > good.txt, outs: [good.txt]}
  bad: {cmd: exit 3, outs: [bad.txt]}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    subprocess.run([BINARIES / "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run_flow(workspace: Path, target: str) -> subprocess.CompletedProcess[str]:
    program = f"""
        from pathlib import Path
        from flows.reproduce import reproduce
        reproduce([{target!r}], Path({str(workspace)!r}))
    """
    environment = {
        **os.environ,
        "PREFECT_HOME": str(workspace / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_flow_runs_dvc_and_completes(workspace: Path) -> None:
    """Also the guard of the fastapi pin: with a newer one, every flow run dies."""
    done = run_flow(workspace, "good")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (workspace / "good.txt").read_text() == "done\n"
    assert "Completed()" in done.stderr


@pytest.mark.slow
def test_failed_stage_fails_the_flow_and_names_it(workspace: Path) -> None:
    done = run_flow(workspace, "bad")
    assert done.returncode != 0
    assert "dvc repro bad exited with" in done.stderr
    assert "failed to reproduce 'bad'" in done.stderr


@pytest.mark.slow
def test_bad_params_fail_the_flow_before_dvc_starts(workspace: Path) -> None:
    (workspace / "params.yaml").write_text("datasets: [synthetic]\n")
    done = run_flow(workspace, "good")
    assert done.returncode != 0
    assert "stages.check exited with 1" in done.stderr
    assert not (workspace / "good.txt").exists()


def test_no_process_stays_behind_when_the_flow_is_stopped(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(
        "stages: {long: {cmd: echo $$ > pid && sleep 600, outs: [never]}}"
    )
    program = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from pathlib import Path
from flows.programs import run_dvc
run_dvc(["repro"], Path({str(workspace)!r}))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    pid_file = workspace / "pid"
    deadline = time.monotonic() + 60
    while not (pid_file.is_file() and pid_file.read_text().strip()):
        assert time.monotonic() < deadline, "the stage never started"
        time.sleep(0.1)
    process.send_signal(2)  # Ctrl-C
    process.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
