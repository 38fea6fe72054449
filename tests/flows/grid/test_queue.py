"""The grid: its queue with cells that are functions, then with real DVC stages."""

import re
import signal
import subprocess
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import pytest
from toy_grid import (
    cells,
    cleaned,
    dvc,
    environment,
    make_workspace,
    require_nobody,
    results,
    run_grid,
    running,
    start_grid,
    wait_until,
)
from workspace import warm

from flows.grid import queue
from flows.grid.cells import CellState, Outcome
from flows.grid.plan import Cell, Plan
from flows.grid.queue import GridState, Jobs, execute, require_good, stage_of
from flows.processes.programs import ProgramError, StoppedError

TWO = Jobs(heavy=2, light=1)


def plan_for(**upstreams: str) -> Plan:
    """A plan of `name="upstream upstream"`; a name with `train` in it is a heavy cell."""
    made = [Cell(name=n.replace("_", "@"), upstreams=_split(u)) for n, u in upstreams.items()]
    return Plan(cells=tuple(made), up_to_date=0)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.replace("_", "@") for name in names.split())


def outcome(cell: Cell, state: CellState = CellState.RAN) -> Outcome:
    return Outcome(cell=cell.name, state=state, seconds=0.0, attempts=1, reason="", link="")


def ignore(state: GridState) -> None:
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


def test_frames_are_extracted_one_at_a_time_beside_heavy_cells_if_they_may_be() -> None:
    names = ("rgb", "rgb_diff", "flow", "warped_flow")
    cells = tuple(Cell(name=f"extract@a-b-{name}", upstreams=()) for name in names)
    plan = Plan(cells=(*cells, Cell(name="train@a-1-rgb", upstreams=())), up_to_date=0)

    def start(jobs: Jobs, *running: str) -> list[str]:
        waiting = queue._Queue(plan, jobs)
        now = [Cell(name=name, upstreams=()) for name in running]
        return [cell.name for cell in waiting.take(now)]

    rgb, difference, flow, _ = (cell.name for cell in cells)
    assert start(Jobs(heavy=1, light=2)) == [rgb]
    jobs = Jobs(heavy=1, light=2, frames_beside=True)
    assert start(jobs) == [rgb, flow]
    assert start(jobs, difference) == [flow]
    assert start(jobs, flow) == [rgb]
    assert start(jobs, difference, flow) == []
    assert start(jobs, "extract@c-rgb_diff", flow) == [rgb]
    assert start(jobs, "extract@c-rgb_diff", "fuse@c-1") == [flow]


def test_training_runs_are_no_more_at_once_than_memory_holds() -> None:
    names = ("train@a-1-rgb", "train@a-1-flow", "score@a-2-rgb", "score@a-2-flow")
    plan = Plan(cells=tuple(Cell(name=name, upstreams=()) for name in names), up_to_date=0)
    jobs = Jobs(heavy=3, light=1, training_runs=1)
    taken = [cell.name for cell in queue._Queue(plan, jobs).take(())]
    assert taken == ["train@a-1-rgb", "score@a-2-rgb", "score@a-2-flow"]


def test_failed_cell_lets_its_siblings_finish_and_skips_its_descendants() -> None:
    plan = plan_for(
        train_a="", train_b="", score_a="train_a", score_b="train_b", fuse="score_a score_b"
    )

    def run(cell: Cell) -> Outcome:
        return outcome(cell, CellState.FAILED if cell.name == "train@a" else CellState.RAN)

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

    def watch(state: GridState) -> None:
        if culprit == "watch" and len(state.running) == 2:
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


def test_what_ended_is_logged_beside_the_cells_by_one_at_a_time_and_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "SYNC_SECONDS", 0.0)
    began, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def sync() -> None:
        began.release()
        go_on.acquire()
        raise OSError("no space left")

    done = tuple(outcome(Cell(name=name, upstreams=())) for name in "ab")
    all_done = GridState(running=(), outcomes=done, queued=())

    def second_began() -> bool:
        watch(all_done)
        return began.acquire(timeout=0.1)

    with queue.now_and_then(sync) as watch:
        watch(GridState(running=("a",), outcomes=(), queued=("c",)))
        assert not began.acquire(timeout=0.1)  # nothing has ended yet
        watch(GridState(running=("b",), outcomes=done[:1], queued=()))
        assert began.acquire(timeout=10)
        watch(all_done)
        assert not began.acquire(timeout=0.1)  # the first is still at it
        go_on.release()
        wait_until(lambda: "no space left" in caplog.text, "the end of the first")
        wait_until(second_began, "the second")
        go_on.release()


@pytest.mark.slow
def test_lock_file_is_that_of_a_sequential_repro_whoever_reads_meanwhile(tmp_path: Path) -> None:
    """14 cells, with readers all the while: none is lost, and the bytes are the same."""
    pipeline = re.sub(r"python cell.py --seconds [\d.]+ --out", "sh cell.sh", cells(12, 0.0))
    script = 'out=$1; shift; cat /dev/null "$@" > $out; echo $out >> $out'
    sequential = make_workspace(tmp_path / "sequential", pipeline)
    (sequential / "cell.sh").write_text(script)
    dvc(sequential, "repro", "-q")
    workspace = make_workspace(tmp_path / "grid", pipeline)
    (workspace / "cell.sh").write_text(script)
    with start_grid(workspace, warm() / "python") as process:
        while process.poll() is None:
            for reader in (["dag", "--dot"], ["metrics", "show"]):
                command = [warm() / "dvc", *reader]
                subprocess.run(command, cwd=workspace, env=environment(), capture_output=True)
                time.sleep(0.3)
        out, err = process.communicate()
    assert (process.returncode, out) == (0, "planned 14\n"), err
    assert results(workspace) == results(sequential)
    assert dvc(workspace, "status", "--json").strip() == "{}"


@pytest.mark.slow
def test_failed_cell_then_the_next_run_does_the_rest(tmp_path: Path) -> None:
    sequential = make_workspace(tmp_path / "sequential", cells(2, 0.0))
    workspace = make_workspace(tmp_path / "grid", cells(2, 0.0))
    good = (workspace / "cell.py").read_text()
    ill = 'options.out.name == "2.txt" and not Path("healed").exists()'
    bad = f'    if {ill}: raise ValueError("ill")\n'
    (workspace / "cell.py").write_text(
        good.replace("def main(options):\n", f"def main(options):\n{bad}")
    )
    (sequential / "cell.py").write_text((workspace / "cell.py").read_text())
    (sequential / "healed").touch()
    dvc(sequential, "repro", "-q")
    first = run_grid(workspace)
    assert first.returncode == 1
    assert "train@2 failed:\ncell: ill" in first.stderr
    assert "skipped, as they need what failed: fuse" in first.stderr
    assert (workspace / "1.txt").is_file()
    (workspace / "healed").touch()
    second = run_grid(workspace)
    assert (second.returncode, second.stdout) == (0, "planned 2\n")
    assert results(workspace) == results(sequential)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_grid_that_is_stopped_leaves_no_process(tmp_path: Path, name: str) -> None:
    make_workspace(tmp_path, cells(2, 60.0, prep=False))
    with cleaned(tmp_path), start_grid(tmp_path) as process:
        wait_until(lambda: len(running(tmp_path, "cell.py --seconds 60")) == 2, "two cells")
        process.send_signal(getattr(signal, name))
        require_nobody(tmp_path)
        assert process.wait(10) != 0


@pytest.mark.slow
def test_second_grid_in_a_workspace_is_refused_by_the_firsts_pid(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 60.0, prep=False))
    with cleaned(tmp_path), start_grid(tmp_path) as first:
        wait_until(lambda: running(tmp_path, "cell.py --seconds 60"), "a cell")
        second = run_grid(tmp_path)
        assert second.returncode == 1
        assert f"another run is active in {tmp_path}: pid {first.pid} (" in second.stderr
        assert running(tmp_path, "cell.py --seconds 60")
        first.terminate()
        require_nobody(tmp_path)


@pytest.mark.slow
def test_broken_gpu_is_passed_over_and_a_machine_with_no_other_fails_its_cells(
    tmp_path: Path,
) -> None:
    make_workspace(tmp_path, cells(1, 0.0, fuse=False))
    locks = {"TSN_RUNTIME_DIR": str(tmp_path / "locks")}
    failed = run_grid(tmp_path, TSN_GPU_SLOTS="broken", **locks)
    assert failed.returncode == 1
    assert "1 working GPU(s) needed, there are 0; failing their probe: broken" in failed.stderr
    assert run_grid(tmp_path, TSN_GPU_SLOTS="broken,a", **locks).returncode == 0
    leases = (tmp_path / "leases").read_text().splitlines()
    assert {row.split()[1] for row in leases} == {"['a']"}
