"""The worker pool: answers, deaths and errors of tasks, and no process left behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toy_grid import wait_until
from workspace import ROOT

from tsn.workers.pool import Died, Helpers, StoppedError, WorkerError, run_tasks


def nothing() -> None:
    """Initialise a worker that needs nothing."""


def square_or_die(number: int, device: str) -> int:
    if number == 3:
        os._exit(7)
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        raise ValueError(f"negative: {number}")
    return number * number


def sleep(seconds: float, device: str) -> float:
    time.sleep(seconds)
    return seconds


def fail_to_start() -> None:
    os._exit(9)


def test_a_death_costs_one_task(children_left: Callable[[], set[object]]) -> None:
    answers = dict(run_tasks(square_or_die, range(8), devices="ab", initialise=nothing))
    assert answers == {0: 0, 1: 1, 2: 4, 3: Died(7), 4: 16, 5: Died(-9), 6: 36, 7: 49}
    assert str(Died(-9)) == "was killed by signal 9"
    assert children_left() == set()


def meet_or_die(task: tuple[int, Path], device: str) -> str:
    """Dies of task 0; of another, returns the device when both have had one."""
    number, folder = task
    if number == 0:
        os._exit(7)
    (folder / device).touch()
    wait_until(lambda: len(list(folder.iterdir())) == 2, "a task for the other device")
    return device


def test_a_dead_workers_seat_is_taken_by_the_next_and_by_no_two(tmp_path: Path) -> None:
    tasks = [(number, tmp_path) for number in range(4)]
    answers = dict(run_tasks(meet_or_die, tasks, devices=["gpu 0", "gpu 1"], initialise=nothing))
    assert answers.pop((0, tmp_path)) == Died(7)
    assert set(answers.values()) == {"gpu 0", "gpu 1"}


def test_an_exception_stops_everything_and_is_shown(
    children_left: Callable[[], set[object]],
) -> None:
    with pytest.raises(WorkerError, match=r"-1: Traceback(?s:.*)ValueError: negative: -1"):
        list(run_tasks(square_or_die, [1, -1, 2], devices="a", initialise=nothing))
    assert children_left() == set()


def test_closing_it_stops_a_task_in_the_middle(children_left: Callable[[], set[object]]) -> None:
    answers = run_tasks(sleep, [0.0, 600.0, 600.0], devices="ab", initialise=nothing)
    start = time.monotonic()
    assert next(answers) == (0.0, 0.0)
    answers.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 30
    assert children_left() == set()


def test_workers_that_cannot_start_are_an_error() -> None:
    with pytest.raises(WorkerError, match="exited with code 9 before its first task"):
        list(run_tasks(sleep, [0.0], devices="a", initialise=fail_to_start))


def test_no_task_no_worker() -> None:
    assert list(run_tasks(sleep, [], devices="abc", initialise=fail_to_start)) == []


def answer(task: str, _: None) -> tuple[str, int]:
    if task == "die":
        os._exit(7)
    if task == "raise":
        raise ValueError("no")
    return task, os.getpid()


def test_a_helper_answers_again_and_another_takes_the_place_of_one_that_dies(
    children_left: Callable[[], set[object]],
) -> None:
    helpers = Helpers(answer, nothing, most=2)
    first, second = helpers.ask("a"), helpers.ask("b")
    assert not isinstance(first, Died) and not isinstance(second, Died)
    assert (first[0], second[0], first[1]) == ("a", "b", second[1])  # one process, kept
    with pytest.raises(WorkerError, match="no"):
        helpers.ask("raise")
    assert helpers.ask("die") == Died(7)
    third = helpers.ask("c")
    assert not isinstance(third, Died)
    assert third[0] == "c" and third[1] != first[1]
    del helpers
    assert children_left() == set()


def sleep_in_c(seconds: int, _: None) -> None:
    """As a decoder, which hears of no signal of Python's."""
    ctypes.CDLL(None).sleep(seconds)


def test_a_helper_whose_answer_is_no_longer_wanted_is_ended_at_once(
    children_left: Callable[[], set[object]],
) -> None:
    helpers = Helpers(sleep_in_c, nothing, most=1)
    wanted_until = time.monotonic() + 3

    def stop() -> str:
        return "nobody waits" if time.monotonic() > wanted_until else ""

    for _ in range(2):  # the second one comes when no time is left
        with pytest.raises(StoppedError, match="nobody waits"):
            helpers.ask(600, stop)
    assert time.monotonic() < wanted_until + 10
    assert children_left() == set()
    assert helpers.ask(0) is None


def wait_for_another(folder: Path, _: None) -> int:
    """Return this process's number once there are two, each at a task of its own."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.getpid()


def test_two_that_ask_at_once_have_two_helpers_and_a_third_none_of_its_own(tmp_path: Path) -> None:
    helpers = Helpers(wait_for_another, nothing, most=2)
    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(helpers.ask, [tmp_path] * 3))) == 2


def test_a_helper_that_died_idle_is_no_tasks_fault() -> None:
    helpers = Helpers(answer, nothing, most=1)
    first = helpers.ask("a")
    assert not isinstance(first, Died)
    os.kill(first[1], signal.SIGKILL)
    time.sleep(0.5)
    second = helpers.ask("b")
    assert not isinstance(second, Died) and second[0] == "b"


PROGRAM = """
from operator import add
from tsn.workers.pool import run_tasks

print("loaded", flush=True)
print(list(run_tasks(add, [1, 2], [10], print)), flush=True)
"""


def test_a_program_is_not_loaded_by_its_workers(tmp_path: Path) -> None:
    """Nor does it need the usual guard, without which a spawned process would start it again."""
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loaded") == 1
    assert "[(1, 11), (2, 12)]" in done.stdout
