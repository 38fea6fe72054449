"""The device a machine section stands for."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from workspace import ROOT

from stages.extract import choose_devices
from stages.runtime import machine
from stages.runtime.machine import (
    Machine,
    choose_device,
    lease_gpu_each,
    lease_gpus,
)
from tsn.streams.limits import DEFAULT_LIMITS
from tsn.streams.table import FlowConfig, FramesConfig, WorkerDevice

FAULTS = """
import resource
import torch
from stages.runtime.machine import Machine, choose_device

def faults_of_a_step():
    for _ in range(20):  # until the heap has its size
        torch.ones(2**24)  # 64 MiB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults_of_a_step())
choose_device(Machine(device="cpu", processes=1, threads=1, workers=0, checkpoint_seconds=60.0))
print(faults_of_a_step())
"""
MACHINE = Machine(device="cpu", processes=1, threads=1, workers=0, checkpoint_seconds=60.0)


@pytest.fixture
def torch_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(machine, "_keep_freed_memory", lambda: None)  # it would last
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_device_of_the_machine(
    torch_settings: None, monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    chosen = choose_device(replace(MACHINE, device=device, threads=1))
    assert chosen.type == ("cuda" if cuda and device == "auto" else "cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's allocator")
def test_memory_that_a_step_frees_is_the_next_ones() -> None:
    faults = subprocess.run(
        [sys.executable, "-c", FAULTS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    before, after = map(int, faults)
    if before < 1_000:  # of 16,384 pages of 4 KiB: they are huge ones here
        pytest.skip("this kernel hands out huge pages")
    assert after < before / 20


def test_machine_without_the_device_it_names_is_refused(
    torch_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"machine.device is cuda, but torch sees none"):
        choose_device(replace(MACHINE, device="cuda"))


def test_processes_of_a_training_have_a_gpu_each(
    torch_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(replace(MACHINE, device="cuda")) == torch.device("cuda", 1)
    assert choose_device(MACHINE) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # its own lease
    assert choose_device(replace(MACHINE, device="cuda")) == torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("device", "driver", "gpus", "expected"),
    [("auto", True, 2, 2), ("auto", False, 2, 0), ("cpu", True, 2, 0), ("cuda", False, 3, 3)],
)
def test_gpus_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, device: str, driver: bool, gpus: int, expected: int
) -> None:
    monkeypatch.setattr(machine, "has_nvidia_driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert lease_gpus(replace(MACHINE, device=device), 1, 2) == expected
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    if device == "cuda":
        with pytest.raises(ValueError, match=r"machine.device is cuda, but torch sees none"):
            lease_gpus(replace(MACHINE, device=device), 1, 2)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_nvidia_driver", lambda: True)
    monkeypatch.setenv("TSN_GPU_SLOTS", "a,b,b")
    with pytest.raises(ValueError, match=r"machine\.processes: 3 .* but there are 2; lower it"):
        lease_gpu_each(replace(MACHINE, device="auto"), 3)
    lease_gpu_each(MACHINE, 3)


def test_devices_are_gpus_for_what_can_use_them_and_cores_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = FramesConfig(width=8, height=8, jpeg_quality=90)
    flow = FlowConfig(**vars(frames), bound=20.0, engine="tvl1")
    lent = replace(MACHINE, device="cuda", workers=3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("stages.extract.count_cores", lambda: 9)
    assert choose_devices(flow, lent) == [
        WorkerDevice(name="cuda:0", threads=2),
        WorkerDevice(name="cuda:1", threads=2),
        WorkerDevice(name="cuda:0", threads=2),
        WorkerDevice(name="cuda:1", threads=2),
    ]
    core = WorkerDevice(name="cpu", threads=1)
    assert choose_devices(frames, lent) == [core] * 3
    assert choose_devices(replace(flow, engine="opencv"), lent) == [core] * 3
    assert choose_devices(flow, replace(lent, device="cpu", workers=0)) == [core]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "gpu"}, "device is auto, cpu or cuda, got 'gpu'"),
        ({"processes": 0}, "processes is at least 1, got 0"),
        ({"threads": 0}, "threads >= 1 and workers >= 0, got 0, 0"),
        ({"workers": -1}, "got 1, -1"),
    ],
)
def test_bad_machine_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MACHINE, **change)


def test_params_yaml_states_the_limits_that_a_served_model_has() -> None:
    assert machine.read_machine().reading == DEFAULT_LIMITS


@pytest.mark.parametrize(
    ("choice", "device", "iterations", "compiled"),
    [
        ("auto", "cuda", machine.ITERATIONS_TO_COMPILE, True),
        ("auto", "cuda", machine.ITERATIONS_TO_COMPILE - 1, False),
        ("auto", "cpu", 10**6, False),
        ("always", "cpu", 1, True),
        ("never", "cuda", 10**6, False),
    ],
)
def test_long_training_on_a_gpu_is_compiled(
    monkeypatch: pytest.MonkeyPatch, choice: str, device: str, iterations: int, compiled: bool
) -> None:
    lent = replace(MACHINE, compile=choice)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert machine.worth_compiling(lent, torch.device(device), iterations) is compiled
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    without = machine.worth_compiling(lent, torch.device(device), iterations)
    assert without is (compiled and choice == "always")


@pytest.mark.parametrize("change", [{"precision": "half"}, {"compile": "yes"}])
def test_what_is_no_precision_or_no_way_to_compile_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is one of auto, .*, got '(half|yes)'"):
        replace(MACHINE, **change)
