"""The grid: its queue with cells that are functions, then with real DVC stages."""

import json
import re
import signal
import subprocess
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import pytest
from toy_grid import (
    BINARIES,
    cells,
    cleaned,
    dvc,
    environment,
    lock_file,
    make_workspace,
    require_nobody,
    results,
    run_grid,
    running,
    start_grid,
    wait_until,
)

from flows.board import TerminalBoard, read_progress
from flows.cells import Outcome, State, may_pass, reason, run_cell
from flows.grid import Board, Jobs, execute, require_good, stage_of
from flows.plan import Cell, Plan
from flows.programs import ProgramError, StoppedError

TWO = Jobs(heavy=2, light=1)


def plan_for(**upstreams: str) -> Plan:
    """A plan of `name="upstream upstream"`; a name with `train` in it is a heavy cell."""
    made = [Cell(name=n.replace("_", "@"), upstreams=_split(u)) for n, u in upstreams.items()]
    return Plan(targets=(), cells=tuple(made), up_to_date=0)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.replace("_", "@") for name in names.split())


def outcome(cell: Cell, state: State = State.RAN) -> Outcome:
    return Outcome(cell=cell.name, state=state, seconds=0.0, attempts=1, reason="", link="")


def ignore(board: Board) -> None:
    pass


def test_cells_run_after_their_upstreams_and_no_more_at_once_than_there_are_jobs() -> None:
    plan = plan_for(
        prep="", **{f"train_{i}": "prep" for i in "abcd"}, fuse="train_a train_b", report="fuse"
    )
    lock, now, most, done = threading.Lock(), set[str](), dict[str, int](), list[str]()

    def run(cell: Cell) -> Outcome:
        with lock:
            assert set(cell.upstreams) <= set(done)
            now.add(cell.name)
            heavy = sum(name.startswith("train") for name in now)
            most["heavy"] = max(most.get("heavy", 0), heavy)
            most["light"] = max(most.get("light", 0), len(now) - heavy)
        time.sleep(0.05)
        with lock:
            now.remove(cell.name)
            done.append(cell.name)
        return outcome(cell)

    outcomes = execute(plan, run, TWO, watch=ignore, stop=threading.Event())
    assert most == {"heavy": 2, "light": 1}
    assert sorted(row.cell for row in outcomes) == sorted(done)
    assert len(done) == 7


def test_failed_cell_lets_its_siblings_finish_and_skips_its_descendants() -> None:
    plan = plan_for(
        train_a="", train_b="", score_a="train_a", score_b="train_b", fuse="score_a score_b"
    )

    def run(cell: Cell) -> Outcome:
        return outcome(cell, State.FAILED if cell.name == "train@a" else State.RAN)

    outcomes = execute(plan, run, TWO, watch=ignore, stop=threading.Event())
    assert {row.cell: (str(row.state), row.reason) for row in outcomes} == {
        "train@a": ("failed", ""),
        "score@a": ("skipped", "needs train@a"),
        "fuse": ("skipped", "needs score@a"),
        "train@b": ("ran", ""),
        "score@b": ("ran", ""),
    }
    with pytest.raises(ProgramError, match=r"train@a failed(.|\n)*skipped.*score@a, fuse"):
        require_good(outcomes)
    require_good([row for row in outcomes if row.good])


@pytest.mark.parametrize("culprit", ["cell", "watch"])
def test_error_sets_stop_and_comes_out_when_all_threads_have_ended(culprit: str) -> None:
    stop, ended = threading.Event(), []

    def run(cell: Cell) -> Outcome:
        if cell.name == "a" and culprit == "cell":
            raise KeyError("a bug")
        stop.wait(30)
        ended.append(cell.name)
        raise StoppedError(cell.name)

    def watch(board: Board) -> None:
        if culprit == "watch" and len(board.running) == 2:
            raise KeyError("a bug")

    jobs = Jobs(heavy=1, light=2)
    with pytest.raises(KeyError):
        execute(plan_for(a="", b="", c=""), run, jobs, watch=watch, stop=stop)
    assert stop.is_set()
    assert sorted(ended) == (["b"] if culprit == "cell" else ["a", "b"])


def test_cells_see_the_context_of_the_caller() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="lost")
    variable.set("kept")
    seen = []

    def run(cell: Cell) -> Outcome:
        seen.append(variable.get())
        return outcome(cell)

    execute(plan_for(a=""), run, TWO, watch=ignore, stop=threading.Event())
    assert seen == ["kept"]


def test_no_job_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one job of each kind, got 0 and 1"):
        Jobs(heavy=0, light=1)


def test_stage_of_a_cell_wherever_its_dvc_yaml_lies() -> None:
    assert [stage_of(n) for n in ("fuse", "train@a-1", "sub/dvc.yaml:train@a")] == [
        "fuse",
        "train",
        "train",
    ]


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
    assert may_pass(code, text) is again


def test_reason_is_the_end_of_the_output_without_what_dvc_always_says() -> None:
    text = f"Running stage 'x':\n> python\nstep 1\n\nx: lr: expected a number\n{DVC_SAYS.format(1)}"
    assert reason(text) == "step 1\nx: lr: expected a number"
    assert reason(DVC_SAYS.format(-9)) == DVC_SAYS.format(-9)


def test_board_tells_what_starts_and_ends_and_how_far_a_training_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.board.SECONDS_BETWEEN_LINES", -1.0)
    status = {"done": 30, "total": 90, "loss": 0.5, "rate": 2.0, "link": "http://x"}
    (tmp_path / ".tsn/status").mkdir(parents=True)
    (tmp_path / ".tsn/status/train@a.json").write_text(json.dumps(status))
    show = TerminalBoard(tmp_path)
    show(Board(running=("train@a", "fuse"), outcomes=(), waiting=1))
    ended = outcome(Cell(name="fuse", upstreams=()))
    show(Board(running=(), outcomes=(ended,), waiting=0))
    assert capsys.readouterr().err.splitlines() == [
        "train@a: started, 1 wait",
        "fuse: started, 1 wait",
        "train@a: 30 of 90, loss 0.500, 2.0 a second, 0.5 min left",
        "fuse: ran in 0.0 s",
        "grid: 1 ran",
    ]
    assert read_progress({"done": 1}) is None


# With real DVC from here on.


def run_one(
    workspace: Path, cell: str, retries: tuple[float, ...] = (), stop: threading.Event | None = None
) -> Outcome:
    event = stop or threading.Event()
    return run_cell(Cell(name=cell, upstreams=()), workspace, stop=event, retry_seconds=retries)


def test_outcomes_of_real_cells(tmp_path: Path) -> None:
    make_workspace(
        tmp_path,
        """
        stages:
          good: {cmd: echo fine > good.txt, deps: [params.yaml], outs: [good.txt]}
          bad: {cmd: echo because; exit 1, outs: [bad.txt]}
          flaky:
            cmd: echo x >> attempts; test $(wc -l < attempts) -gt 2 || exit 75; touch flaky.txt
            outs: [flaky.txt]
        """,
    )
    assert run_one(tmp_path, "good").state is State.RAN
    assert run_one(tmp_path, "good").state is State.UNCHANGED
    (tmp_path / "good.txt").unlink()
    lock_file(tmp_path).unlink()
    assert run_one(tmp_path, "good").state is State.RESTORED
    bad = run_one(tmp_path, "bad", (0.1, 0.1))
    log = tmp_path / ".tsn/logs/bad.log"
    assert (bad.state, bad.attempts) == (State.FAILED, 1)
    assert bad.reason == f"because\n({log})"
    assert "failed to reproduce 'bad'" in log.read_text()
    flaky = run_one(tmp_path, "flaky", (0.1, 0.1))
    assert (flaky.state, flaky.attempts) == (State.RAN, 3)


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
    assert (failed.state, failed.attempts) == (State.FAILED, 1)
    assert "changed while this stage ran: params.yaml machine" in failed.reason
    assert lock_file(tmp_path).read_bytes() == before


@pytest.mark.slow
def test_disk_that_is_full_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the same error from the kernel, EFBIG."""
    make_workspace(tmp_path, cells(1, 0.0, fuse=False))
    text = (tmp_path / "cell.py").read_text()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\\n"
    big = text.replace("def main", f"{limit}def main".replace("\\n", "\n"))
    big = big.replace('f"{args.out}({text})"', '"x" * 2000')
    (tmp_path / "cell.py").write_text(
        f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n{big}"
    )
    failed = run_one(tmp_path, "prep", (0.1,))
    assert (failed.state, failed.attempts) == (State.FAILED, 1)
    assert "cell: [Errno 27] File too large" in failed.reason
    assert list(tmp_path.glob("*prep.txt*")) == []
    (tmp_path / "cell.py").write_text(text)
    assert run_grid(tmp_path).returncode == 0


@pytest.mark.slow
def test_lock_file_is_that_of_a_sequential_repro_whoever_reads_meanwhile(tmp_path: Path) -> None:
    """18 cells, 3 times, with readers all the while: none is lost, and the bytes are the same."""
    pipeline = re.sub(r"python cell.py --seconds [\d.]+ --out", "sh cell.sh", cells(16, 0.0))
    script = 'out=$1; shift; cat /dev/null "$@" > $out; echo $out >> $out'
    sequential = make_workspace(tmp_path / "sequential", pipeline)
    (sequential / "cell.sh").write_text(script)
    dvc(sequential, "repro", "-q")
    for repeat in range(3):
        workspace = make_workspace(tmp_path / f"grid{repeat}", pipeline)
        (workspace / "cell.sh").write_text(script)
        with start_grid(workspace) as process:
            while process.poll() is None:
                for reader in (["dag", "--dot"], ["metrics", "show"]):
                    command = [BINARIES / "dvc", *reader]
                    subprocess.run(command, cwd=workspace, env=environment(), capture_output=True)
                    time.sleep(0.3)
            out, err = process.communicate()
        assert (process.returncode, out) == (0, "planned 18\n"), err
        assert results(workspace) == results(sequential)
        assert dvc(workspace, "status", "--json").strip() == "{}"


@pytest.mark.slow
def test_failed_cell_then_the_next_run_does_the_rest(tmp_path: Path) -> None:
    sequential = make_workspace(tmp_path / "sequential", cells(3, 0.0))
    dvc(sequential, "repro", "-q")
    workspace = make_workspace(tmp_path / "grid", cells(3, 0.0))
    good = (workspace / "cell.py").read_text()
    bad = (
        '    if args.out.name == "2.txt" and not Path("healed").exists(): raise ValueError("ill")\n'
    )
    (workspace / "cell.py").write_text(good.replace("def main(args):\n", f"def main(args):\n{bad}"))
    (sequential / "cell.py").write_text((workspace / "cell.py").read_text())
    (sequential / "healed").touch()
    lock_file(sequential).unlink()
    dvc(sequential, "repro", "-q")
    first = run_grid(workspace)
    assert first.returncode == 1
    assert "train@2 failed:\ncell: ill" in first.stderr
    assert "skipped, as they need what failed: fuse" in first.stderr
    assert (workspace / "1.txt").is_file() and (workspace / "3.txt").is_file()
    (workspace / "healed").touch()
    second = run_grid(workspace)
    assert (second.returncode, second.stdout) == (0, "planned 2\n")
    assert results(workspace) == results(sequential)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_grid_that_is_stopped_leaves_no_process(tmp_path: Path, name: str) -> None:
    make_workspace(tmp_path, cells(2, 60.0))
    with cleaned(tmp_path), start_grid(tmp_path) as process:
        wait_until(lambda: len(running(tmp_path, "cell.py --seconds 60")) == 2, "two cells")
        process.send_signal(getattr(signal, name))
        require_nobody(tmp_path)
        assert process.wait(10) != 0


@pytest.mark.slow
def test_second_grid_in_a_workspace_is_refused_by_the_firsts_pid(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 60.0))
    with cleaned(tmp_path), start_grid(tmp_path) as first:
        wait_until(lambda: running(tmp_path, "cell.py --seconds 60"), "a cell")
        second = run_grid(tmp_path)
        assert second.returncode == 1
        assert f"another grid runs in {tmp_path}: pid {first.pid}. " in second.stderr
        assert running(tmp_path, "cell.py --seconds 60")
        first.terminate()
        require_nobody(tmp_path)


@pytest.mark.slow
def test_broken_gpu_is_passed_over_and_a_machine_with_no_other_fails_its_cells(
    tmp_path: Path,
) -> None:
    make_workspace(tmp_path, cells(3, 0.0))
    locks = {"TSN_RUNTIME_DIR": str(tmp_path / "locks")}
    failed = run_grid(tmp_path, TSN_GPU_SLOTS="broken", **locks)
    assert failed.returncode == 1
    assert "1 working GPU(s) needed, there are 0; failing their probe: broken" in failed.stderr
    assert run_grid(tmp_path, TSN_GPU_SLOTS="broken,1", **locks).returncode == 0
    leases = (tmp_path / "leases").read_text().splitlines()
    assert {row.split()[1] for row in leases} == {"['1']"}
