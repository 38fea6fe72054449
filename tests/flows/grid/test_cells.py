"""One cell: what is tried again, what is told, and with real DVC, how it goes."""

import threading
from pathlib import Path

import pytest
from toy_grid import (
    cells,
    cleaned,
    dvc,
    lock_file,
    make_workspace,
    require_nobody,
    run_grid,
    running,
    wait_until,
)

from flows.grid.cells import CellState, Outcome, is_transient, run_cell
from flows.grid.plan import Cell
from flows.processes.programs import ProgramError, StoppedError, last_words

DVC_SAYS = "ERROR: failed to reproduce 'x': failed to run: python -m stages.x, exited with {}"


@pytest.mark.parametrize(
    ("code", "text", "again"),
    [
        (255, DVC_SAYS.format(1), False),  # bad parameters, a bug
        (255, DVC_SAYS.format(2), False),  # bad arguments
        (255, DVC_SAYS.format(75), True),  # the stage says so
        (255, DVC_SAYS.format(-9), True),  # killed, perhaps for memory
        (255, DVC_SAYS.format(137), True),  # killed, as a shell tells it
        (255, DVC_SAYS.format(255), False),
        (137, "", True),  # dvc itself was killed
        (255, "ERROR: Unable to acquire lock. ...", True),
        (255, "ERROR: 'a.txt' is busy, it is being blocked by:\n  (PID 1): dvc", True),
        (255, "ERROR: failed to reproduce 'x': output 'a.txt' does not exist", False),
        (254, "usage: dvc", False),
    ],
)
def test_what_is_tried_again(code: int, text: str, again: bool) -> None:
    assert is_transient(code, text) is again


def test_reason_is_the_end_of_the_output_without_what_dvc_always_says() -> None:
    text = f"Running stage 'x':\n> python\nstep 1\n\nx: lr: expected a number\n{DVC_SAYS.format(1)}"
    assert last_words(text) == "step 1\nx: lr: expected a number"
    assert last_words(DVC_SAYS.format(-9)) == DVC_SAYS.format(-9)


def run_one(
    workspace: Path, cell: str, retries: tuple[float, ...] = (), stop: threading.Event | None = None
) -> Outcome:
    event = stop or threading.Event()
    return run_cell(Cell(name=cell, upstreams=()), workspace, stop=event, retry_seconds=retries)


@pytest.mark.usefixtures("warm_programs")
def test_outcomes_of_real_cells(tmp_path: Path) -> None:
    make_workspace(
        tmp_path,
        """
        stages:
          good: {cmd: echo "a > b"; echo 1 > good.txt, deps: [params.yaml], outs: [good.txt]}
          bad: {cmd: echo because; exit 1, outs: [bad.txt]}
          flaky:
            cmd: echo x >> attempts; test $(wc -l < attempts) -gt 2 || exit 75; touch flaky.txt
            outs: [flaky.txt]
        """,
    )
    good = run_one(tmp_path, "good")
    assert (good.state, good.told) == (CellState.RAN, ("a > b",))
    good = run_one(tmp_path, "good")
    assert (good.state, good.told) == (CellState.UNCHANGED, ())
    (tmp_path / "good.txt").unlink()
    lock_file(tmp_path).unlink()
    assert run_one(tmp_path, "good").state is CellState.RESTORED
    bad = run_one(tmp_path, "bad", (0.1, 0.1))
    log = tmp_path / ".tsn/logs/bad.log"
    assert (bad.state, bad.attempts) == (CellState.FAILED, 1)
    assert bad.reason == f"because\n({log})"
    assert "failed to reproduce 'bad'" in log.read_text()
    flaky = run_one(tmp_path, "flaky", (0.1, 0.1))
    assert (flaky.state, flaky.attempts) == (CellState.RAN, 3)


def test_program_error_on_the_way_is_a_failed_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(workspace: Path, *, stop: threading.Event) -> None:
        raise ProgramError("no way to repair")

    make_workspace(tmp_path, "stages: {flaky: {cmd: exit 75, outs: [x]}}")
    monkeypatch.setattr("flows.grid.cells.repair", refuse)
    failed = run_one(tmp_path, "flaky", (0.1,))
    assert (failed.state, failed.attempts) == (CellState.FAILED, 1)
    assert failed.reason == f"no way to repair\n({tmp_path / '.tsn/logs/flaky.log'})"


@pytest.mark.slow
def test_stop_ends_a_cell_and_all_its_processes_at_once(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 60.0))
    dvc(tmp_path, "repro", "-q", "prep")
    stop, raised = threading.Event(), []

    def run() -> None:
        try:
            run_one(tmp_path, "train@1", (30.0,), stop)
        except StoppedError as error:
            raised.append(error)

    with cleaned(tmp_path):
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: running(tmp_path, "cell.py --seconds 60"), "the cell")
        stop.set()
        thread.join(30)
        assert raised
        require_nobody(tmp_path, seconds=1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_programs")
def test_cell_that_params_were_edited_under_fails_and_says_why(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 3.0))
    dvc(tmp_path, "repro", "-q", "prep")
    before = lock_file(tmp_path).read_bytes()

    def edit() -> None:
        wait_until(lambda: (tmp_path / ".tsn/status/train@1.json").is_file(), "the cell's start")
        params = tmp_path / "params.yaml"
        params.write_text(
            params.read_text().replace("checkpoint_seconds: 60", "checkpoint_seconds: 6")
        )

    thread = threading.Thread(target=edit)
    thread.start()
    failed = run_one(tmp_path, "train@1", (0.1,))
    thread.join()
    assert (failed.state, failed.attempts) == (CellState.FAILED, 1)
    assert "changed while this stage ran: params.yaml machine" in failed.reason
    assert lock_file(tmp_path).read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("warm_programs")
def test_disk_that_is_full_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the same error from the kernel, EFBIG."""
    make_workspace(tmp_path, cells(1, 0.0, fuse=False))
    text = (tmp_path / "cell.py").read_text()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\\n"
    big = text.replace("def main", f"{limit}def main".replace("\\n", "\n"))
    big = big.replace('f"{options.out}({text})"', '"x" * 2000')
    (tmp_path / "cell.py").write_text(
        f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{big}"
    )
    failed = run_one(tmp_path, "prep", (0.1,))
    assert (failed.state, failed.attempts) == (CellState.FAILED, 1)
    assert "cell: [Errno 27] File too large" in failed.reason
    assert list(tmp_path.glob("*prep.txt*")) == []
    (tmp_path / "cell.py").write_text(text)
    assert run_grid(tmp_path).returncode == 0
