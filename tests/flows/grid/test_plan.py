"""The plan of a grid: from graphs worked out by hand, and from a real DVC."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_grid import cells, cleaned, dvc, environment, make_workspace, running, wait_until

from flows.grid import plan
from flows.grid.plan import BusyError, Cell, UnknownTargetError, make_plan, plan_of, read_graph
from flows.processes.programs import ProgramError

pytestmark = pytest.mark.usefixtures("warm_programs")

#   prep -> train@a -> score@a -> fuse        look stands alone
#   prep -> train@b -> score@b -> fuse
GRAPH = {
    "fuse": ("score@a", "score@b"),
    "score@a": ("train@a",),
    "score@b": ("train@b",),
    "train@a": ("prep",),
    "train@b": ("prep",),
    "prep": (),
    "look": (),
}


def names(found: plan.Plan) -> list[str]:
    return [cell.name for cell in found.cells]


@pytest.mark.parametrize(
    ("changed", "targets", "expected"),
    [
        ((), (), set()),
        (("train@a",), (), {"train@a", "score@a", "fuse"}),
        (("train@a", "look"), ("score@b",), set()),
        (("prep",), ("score@a",), {"prep", "train@a", "score@a"}),
        (("prep",), ("score",), {"prep", "train@a", "train@b", "score@a", "score@b"}),
        (("train@b", "look"), ("*@b",), {"train@b", "score@b"}),
        (("score@a", "train@a"), ("fuse", "look"), {"train@a", "score@a", "fuse"}),
    ],
)
def test_plan_is_what_changed_and_what_depends_on_it_within_the_targets(
    changed: tuple[str, ...], targets: tuple[str, ...], expected: set[str]
) -> None:
    found = plan_of(GRAPH, changed, targets)
    assert set(names(found)) == expected
    order = names(found)
    for cell in found.cells:  # every upstream of the plan, and no other, comes before
        assert set(cell.upstreams) == set(GRAPH[cell.name]) & expected
        assert all(order.index(name) < order.index(cell.name) for name in cell.upstreams)


def test_plan_counts_what_is_up_to_date() -> None:
    assert plan_of(GRAPH, ("score@b",)).up_to_date == 5
    assert plan_of(GRAPH, ("score@b",), ("score@b",)).up_to_date == 2


def test_unknown_target_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownTargetError, match=r"trian@a: no such stage or cell.*train@a"):
        plan_of(GRAPH, (), ("trian@a",))
    with pytest.raises(UnknownTargetError, match=r"xyz: .* fuse, look, prep, score, train$"):
        plan_of(GRAPH, (), ("xyz",))


def test_real_dvc_tells_graph_and_changes(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(2, 0.0))
    assert read_graph(tmp_path) == {
        "prep": (),
        "train@1": ("prep",),
        "train@2": ("prep",),
        "fuse": ("train@2", "train@1"),
    }
    assert set(names(make_plan(tmp_path))) == {"prep", "train@1", "train@2", "fuse"}
    dvc(tmp_path, "repro", "-q", "train@1")
    found = make_plan(tmp_path)
    assert found.cells == (
        Cell(name="train@2", upstreams=()),
        Cell(name="fuse", upstreams=("train@2",)),
    )
    assert found.up_to_date == 2
    assert names(make_plan(tmp_path, ["train@1"])) == []


def test_dvc_that_does_not_answer_is_quoted(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 0.0))
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmdd: x}}")
    with pytest.raises(ProgramError, match=r"dvc dag --dot: .*dvc.yaml"):
        make_plan(tmp_path)


@pytest.mark.slow
def test_another_run_is_named_by_its_pid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BUSY_SECONDS", 0.5)
    make_workspace(tmp_path, cells(1, 60.0))
    with cleaned(tmp_path):
        run = [sys.executable, "-m", "dvc", "repro", "-q"]
        process = subprocess.Popen(run, cwd=tmp_path, env=environment())
        wait_until(lambda: running(tmp_path, "cell.py --seconds 60"), "the cell")
        with pytest.raises(BusyError, match=rf"another run is active .* pid {process.pid} \("):
            make_plan(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert names(make_plan(tmp_path)) == ["train@1", "fuse"]  # a dead one's marks do not count


@pytest.mark.slow
def test_lock_file_met_while_it_is_rewritten_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As DVC writes it in place, a reader can find it cut: here it is whole a second later."""
    make_workspace(tmp_path, cells(1, 0.0))
    dvc(tmp_path, "repro", "-q")
    lock = tmp_path / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole[: len(whole) // 2])
    sleeps = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        lock.write_text(whole)

    monkeypatch.setattr(plan.time, "sleep", sleep)
    assert names(make_plan(tmp_path)) == []
    assert sleeps
