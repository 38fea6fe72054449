"""Programs on a leash: their codes, and that none outlives its flow, whoever is killed."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from toy_grid import cleaned, environment, make_workspace, require_nobody, running, wait_until
from workspace import ROOT

from flows.processes import leash
from flows.processes.programs import ProgramError, StoppedError, run_dvc, run_program, run_stage

STUBBORN = (
    "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; time.sleep(60)"
)
# Starts a program that would run for a minute, and waits for it.
FLOW = f"""
import sys
from pathlib import Path
from flows.processes.programs import run_program
run_program([sys.executable, "-c", {STUBBORN!r}], Path.cwd())
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(3)", 3),
        ("pass", 0),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getppid(), 9)", 137),  # the leash
    ],
)
def test_exit_code_of_a_program(tmp_path: Path, code: str, expected: int) -> None:
    assert run_program([sys.executable, "-c", code], tmp_path) == expected


def test_output_goes_to_the_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        code = "import sys; print(1, flush=True); print(2, file=sys.stderr)"
        run_program([sys.executable, "-c", code], tmp_path, output=log)
    assert (tmp_path / "log").read_text() == "1\n2\n"


def test_program_that_will_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    monkeypatch.setattr(leash, "GRACE_SECONDS", 0.3)  # of this process: that of the leash is longer
    begin = time.monotonic()
    with cleaned(tmp_path), pytest.raises(StoppedError):
        run_program([sys.executable, "-c", STUBBORN], tmp_path, stop=stop)
    require_nobody(tmp_path, seconds=1.0)
    assert time.monotonic() - begin < 10


ORPHAN = """
import os, subprocess, sys, time
command = ["sh", "-c", "sleep 0.1 > /dev/null & echo $!"]
pid = int(subprocess.run(command, capture_output=True).stdout)
for _ in range(200):
    time.sleep(0.05)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        sys.exit(0)
sys.exit("a zombie")
"""


def test_orphan_that_ends_is_no_zombie_while_its_program_runs(tmp_path: Path) -> None:
    """DVC would wait for its locks."""
    assert run_program([sys.executable, "-c", ORPHAN], tmp_path) == 0


READY = STUBBORN.replace("time.sleep", "print(1, flush=True); time.sleep")
ORPHANING = f"""
import os, subprocess, sys
command = [sys.executable, "-c", {READY!r}]
subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE).stdout.readline()
subprocess.Popen(["sleep", "600"], start_new_session=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to find them")
def test_program_that_is_killed_leaves_no_sessions_of_its_own(tmp_path: Path) -> None:
    begin = time.monotonic()
    with cleaned(tmp_path):
        assert run_program([sys.executable, "-c", ORPHANING], tmp_path) == 137
        require_nobody(tmp_path, seconds=0.1)
    assert time.monotonic() - begin > leash.GRACE_SECONDS  # both were asked first


@pytest.mark.slow
def test_killed_flow_takes_along_a_program_that_will_not_stop(tmp_path: Path) -> None:
    with cleaned(tmp_path):
        process = subprocess.Popen([sys.executable, "-c", FLOW], cwd=tmp_path, env=environment())
        wait_until(lambda: len(running(tmp_path, "signal.SIG_IGN")) == 3, "the program")
        process.kill()
        process.wait()
        require_nobody(tmp_path, seconds=3 * leash.GRACE_SECONDS)


def test_stage_that_fails_is_named(tmp_path: Path) -> None:
    make_workspace(tmp_path, "stages: {}")
    with pytest.raises(ProgramError, match=r"No module named stages.none"):
        run_stage("none", tmp_path)
    with pytest.raises(ProgramError, match=r"dvc repro x exited with 255; the failed stage"):
        run_dvc(["repro", "x"], tmp_path)


def test_no_process_stays_behind_when_dvc_is_stopped(tmp_path: Path) -> None:
    pipeline = "stages: {long: {cmd: echo $$ > pid && sleep 600, outs: [never]}}"
    workspace = make_workspace(tmp_path, pipeline)
    program = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from pathlib import Path
from flows.processes.programs import run_dvc
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
