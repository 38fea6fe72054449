"""Leases of GPUs by processes that have none: what is locked are slots that the test names."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from workspace import ROOT

from stages.runtime import gpu_slots
from stages.runtime.gpu_slots import LEASED, LOCKS, MASK, SLOTS, NoGpuError, Slot, find_slots, lease

# Leases as many slots as its argument says and keeps them until its input ends.
HOLDER = """
import logging, sys
from stages.runtime.gpu_slots import lease
logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
number = int(sys.argv[1])
print(*lease(number, number, probe=lambda gpu: gpu != "broken"), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Locks in a folder of the test's, no GPU of this machine, and all leases given back."""
    for variable in (MASK, SLOTS, LEASED, LOCKS):
        monkeypatch.setenv(variable, "")  # so that what `lease` sets is undone, too
        monkeypatch.delenv(variable)
    monkeypatch.setenv("TSN_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    while gpu_slots._held:
        gpu_slots._held.pop().close()


def holder(slots: str, number: int = 1) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(number)],
        cwd=ROOT,
        env={**os.environ, SLOTS: slots},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def works(gpu: str) -> bool:
    return gpu != "broken"


def test_machine_without_gpus_leases_none_and_shows_what_it_did() -> None:
    assert lease(1, 1, slots=[]) == []
    assert MASK not in os.environ


@pytest.mark.parametrize(
    ("mask", "slots", "expected"),
    [
        (None, "a,b", [Slot("a", 0), Slot("b", 0)]),
        (None, "a, a,b", [Slot("a", 0), Slot("a", 1), Slot("b", 0)]),
        ("3", "", []),
        ("", None, []),
        ("-1", None, []),
        ("MIG-a,MIG-b", None, [Slot("MIG-a", 0), Slot("MIG-b", 0)]),
    ],
)
def test_slots_are_those_listed_or_those_of_the_inherited_mask(
    monkeypatch: pytest.MonkeyPatch, mask: str | None, slots: str | None, expected: list[Slot]
) -> None:
    for variable, value in ((MASK, mask), (SLOTS, slots)):
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert find_slots() == expected


def test_mask_is_what_cuda_makes_of_it_and_its_words_where_cuda_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MASK, "2,3")
    asked = []

    def cuda(program: str, mask: str | None) -> list[str]:
        asked.append(mask)
        return ["GPU-x", "GPU-y"]

    monkeypatch.setattr(gpu_slots, "_ask_cuda", cuda)
    assert find_slots() == [Slot("GPU-x", 0), Slot("GPU-y", 0)]
    assert asked == ["2,3"]
    monkeypatch.setattr(gpu_slots, "_ask_cuda", lambda program, mask: [])
    assert find_slots() == [Slot("2", 0), Slot("3", 0)]


def test_listed_slots_have_the_names_that_a_mask_gives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SLOTS, "1,0,1")
    monkeypatch.setattr(gpu_slots, "_ask_cuda", lambda program, mask: [f"G{m}" for m in mask[::2]])
    assert find_slots() == [Slot("G1", 0), Slot("G0", 0), Slot("G1", 1)]


def test_two_processes_have_two_gpus_and_a_third_waits_for_the_first_to_die() -> None:
    with holder("a,b") as first, holder("a,b") as second:
        assert {line(first), line(second)} == {"a", "b"}
        with holder("a,b") as third:
            waiting = line(third)
            assert waiting.startswith("waiting for a GPU: a is leased by pid ")
            assert f"pid {first.pid}" in waiting and f"pid {second.pid}" in waiting
            first.kill()  # by signal 9: nothing of its own gives the lock back
            assert line(third) in ("a", "b")
            third.kill()
        second.kill()


def test_gpu_that_fails_its_probe_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    slots = [Slot("broken", 0), Slot("1", 0)]
    assert lease(1, 1, slots=slots, probe=works) == ["1"]
    assert os.environ[MASK] == "1"
    assert "GPU broken fails its probe: it is passed over" in caplog.text


def test_machine_whose_gpus_all_fail_is_an_error_that_names_them() -> None:
    with pytest.raises(NoGpuError, match=r"1 working .* there are 0; failing .*: broken\. "):
        lease(1, 1, slots=[Slot("broken", 0)], probe=works)
    with pytest.raises(NoGpuError, match=r"3 working GPU\(s\) needed, there are 2; .*: none"):
        lease(3, 3, slots=[Slot("a", 0), Slot("b", 0)], probe=works)


def test_broken_gpu_is_not_waited_for_while_the_others_are_taken() -> None:
    with holder("1") as first:
        assert line(first) == "1"
        with holder("broken,1") as second:
            assert "fails its probe" in line(second)
            assert line(second).startswith("waiting for a GPU: 1 is leased")
            first.kill()
            assert line(second) == "1"
            second.kill()


def test_all_free_gpus_are_leased_once_each() -> None:
    with holder("b") as other:
        assert line(other) == "b"
        slots = [Slot("a", 0), Slot("a", 1), Slot("b", 0), Slot("c", 0)]
        assert lease(1, gpu_slots.ALL, slots=slots, probe=works) == ["a", "c"]
        assert os.environ[MASK] == "a,c"
        other.kill()


def test_lease_holds_for_the_processes_that_its_holder_starts() -> None:
    assert lease(2, 2, slots=[Slot("a", 0), Slot("b", 0)], probe=works) == ["a", "b"]
    assert lease(1, 1, slots=[Slot("a", 0)], probe=works) == ["a", "b"]
    with holder("a,b") as child:
        assert line(child) == "a b"
        child.kill()


def test_cuda_that_is_not_there_says_nothing() -> None:
    assert gpu_slots._ask_cuda("raise SystemExit(3)", "0") == []


def test_who_needs_two_is_not_passed_by_those_who_need_one() -> None:
    with holder("a") as first, holder("b") as second:
        assert (line(first), line(second)) == ("a", "b")
        with holder("a,b", 2) as both:
            assert line(both).startswith("waiting for a GPU: a is leased by")
            first.kill()
            with holder("a") as third:  # comes when a is free, or as good as
                assert line(third).startswith("waiting for a GPU")
                second.kill()
                assert line(both) == "a b"
                both.kill()
                assert line(third) == "a"
                third.kill()


def test_lease_of_several_ends_with_the_last_process_that_shares_it() -> None:
    assert lease(2, 2, slots=[Slot("a", 0), Slot("b", 0)], probe=works) == ["a", "b"]
    with holder("a,b") as child:
        assert line(child) == "a b"
        while gpu_slots._held:  # as if this process were killed
            gpu_slots._held.pop().close()
        for variable in (MASK, LEASED, LOCKS):
            del os.environ[variable]
        with holder("b") as other:
            assert line(other).startswith("waiting for a GPU: b is leased")
            child.kill()
            assert line(other) == "b"
            other.kill()


def test_folder_of_another_user_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TSN_RUNTIME_DIR")
    monkeypatch.setattr(gpu_slots, "PARENT", runtime)
    lease(1, 1, slots=[Slot("0", 0)], probe=works)
    folder = runtime / f"tsn-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    for variable in (MASK, LEASED):
        monkeypatch.delenv(variable)
    stranger = os.getuid() + 1
    folder.rename(runtime / f"tsn-{stranger}")
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    with pytest.raises(OSError, match=r"belongs to another user; set TSN_RUNTIME_DIR"):
        lease(1, 1, slots=[Slot("0", 0)], probe=works)


def test_chosen_folder_is_for_all_users_and_their_files_are_opened_without_making_them(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all may write, the kernel (fs.protected_regular) refuses O_CREAT on another's file."""
    folder = runtime / "shared"
    monkeypatch.setenv("TSN_RUNTIME_DIR", str(folder))
    real = os.open

    def protected(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and Path(path).exists():
            raise PermissionError(path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", protected)
    mask = os.umask(0o022)
    try:
        for _ in range(2):
            assert lease(1, 1, slots=[Slot("0", 0)], probe=works) == ["0"]
            while gpu_slots._held:
                gpu_slots._held.pop().close()
            monkeypatch.delenv(MASK)
    finally:
        os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o666, 0o666]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_real_gpus_are_found_and_work() -> None:
    slots = find_slots()
    assert all(slot.gpu.startswith(("GPU-", "MIG-")) for slot in slots)
    assert gpu_slots.works(slots[0].gpu)
    assert not gpu_slots.works("GPU-00000000-0000-0000-0000-000000000000")
