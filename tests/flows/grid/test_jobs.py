"""The jobs of a run: what training takes, by the recipes of the workspace."""

import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from workspace import BINARIES, ROOT, copy_project, edit

from flows.grid import jobs
from flows.grid.jobs import (
    BASE_BYTES,
    choose_jobs,
    count_jobs,
    count_memory,
    count_slots,
    largest_training,
    training_bytes,
)
from flows.grid.queue import Jobs
from stages.runtime import machine, params
from stages.runtime.machine import Machine
from tsn.model.timm_backbones import WEIGHTS

GIBIBYTE = 2**30
MACHINE = Machine(device="cpu", processes=1, threads=1, workers=0, checkpoint_seconds=60.0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a machine of two cores and 24 GB, without a GPU."""
    copy_project(ROOT, tmp_path, ("params.yaml", "recipes"))
    edit(tmp_path / "params.yaml", "machine.device", "cpu")
    monkeypatch.setattr(machine, "count_cores", lambda: 2)
    monkeypatch.setattr(jobs, "count_memory", lambda: 24 * 10**9)
    return tmp_path


def active(project: Path, *datasets: str) -> int:
    edit(project / "params.yaml", "datasets", list(datasets))
    return largest_training(project, params.load(project / params.PARAMS))


@pytest.mark.parametrize(
    ("dataset", "measured"), [("synthetic", 1.3), ("ucf101_four", 5.1), ("ucf101_paper", 7.0)]
)
def test_a_training_is_taken_for_no_less_than_was_measured(
    project: Path, dataset: str, measured: float
) -> None:
    """docs/performance.md, Memory; a fifth more at most."""
    assert measured * GIBIBYTE <= active(project, dataset) <= 1.2 * measured * GIBIBYTE


def test_the_largest_active_training_counts(project: Path) -> None:
    recipe = params.load(project / params.recipe_path("ucf101_four"))
    flow, rgb = training_bytes(recipe, "flow"), training_bytes(recipe, "rgb")
    assert flow - BASE_BYTES == 16 * WEIGHTS + 2_000 * 16 * 3 * 128**2
    assert active(project, "synthetic", "ucf101_four") == rgb > flow
    edit(project / "params.yaml", "modalities", ["flow", "warped_flow"])
    assert active(project, "synthetic", "ucf101_four") == flow


def test_a_training_takes_what_its_backbone_holds(project: Path) -> None:
    edit(project / "recipes/ucf101_four.yaml", "train.flow.network.backbone", "resnet152")
    recipe = params.load(project / params.recipe_path("ucf101_four"))
    weights, pixels = 16 * 58_100_000, 4_700 * 16 * 3 * 128**2
    assert training_bytes(recipe, "flow") == BASE_BYTES + weights + pixels


def test_training_runs_at_once_are_as_many_as_memory_holds(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2, training_runs=2)
    active(project, "ucf101_paper")
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2, training_runs=2)
    monkeypatch.setattr(jobs, "count_memory", lambda: 12 * 10**9)
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2, training_runs=1)
    assert choose_jobs(project, 3, 1) == Jobs(heavy=3, light=1)
    assert choose_jobs(project, None, elsewhere=True) == Jobs(heavy=2, light=2)
    active(project, "synthetic")
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2, training_runs=2)


def test_frames_are_extracted_beside_what_uses_a_gpu(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(project / "params.yaml", "machine.device", "auto")
    monkeypatch.setattr(machine, "has_nvidia_driver", lambda: True)
    monkeypatch.setenv("TSN_GPU_SLOTS", "a,b,c")
    assert choose_jobs(project, None) == Jobs(heavy=3, light=2, frames_beside=True)
    assert choose_jobs(project, 1, 1) == Jobs(heavy=1, light=1, frames_beside=True)
    assert choose_jobs(project, None, elsewhere=True) == Jobs(heavy=3, light=2)
    monkeypatch.setenv("TSN_GPU_SLOTS", "")
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2, training_runs=2)


def test_a_recipe_that_cannot_be_read_is_left_to_its_check(project: Path) -> None:
    edit(project / "recipes/synthetic.yaml", "train.rgb.input_size", "large")
    assert active(project, "nonesuch", "synthetic", "ucf101_four") > 5 * GIBIBYTE
    assert active(project, "nonesuch", "synthetic") == BASE_BYTES
    assert active(project, "../odd") == BASE_BYTES
    assert choose_jobs(project, None).heavy == 2


def test_jobs_are_chosen_without_pytorch(project: Path) -> None:
    """Also of a network of timm, whose row would load it."""
    active(project, "ucf101_four")
    program = f"""
import sys
from pathlib import Path
from {jobs.__name__} import choose_jobs
choose_jobs(Path.cwd(), None)
print(sorted({{"torch", "torchvision", "timm", "mlflow"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [BINARIES / "python", "-c", program],
        cwd=project,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("device", "threads", "processes", "expected"),
    [
        ("auto", 2, 1, 4),  # of four GPU slots
        ("auto", 2, 2, 2),
        ("auto", 2, 8, 1),
        ("cpu", 2, 1, 4),  # of nine cores
        ("cpu", 2, 2, 2),
        ("cpu", 2, 4, 1),
        ("cpu", 2, 8, 1),
    ],
)
def test_training_runs_at_once_have_all_their_processes(
    monkeypatch: pytest.MonkeyPatch, device: str, threads: int, processes: int, expected: int
) -> None:
    monkeypatch.setattr(machine, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(machine, "count_cores", lambda: 9)
    monkeypatch.setenv("TSN_GPU_SLOTS", "a,b,c,d")
    lent = replace(MACHINE, device=device, threads=threads, processes=processes)
    assert count_jobs(lent, slots=count_slots(lent), process_bytes=1) == expected


def test_a_driver_without_a_visible_gpu_leaves_training_to_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(machine, "count_cores", lambda: 9)
    monkeypatch.delenv("TSN_GPU_SLOTS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    lent = replace(MACHINE, device="auto", threads=2)
    assert count_slots(lent) == 0
    assert count_jobs(lent, slots=0, process_bytes=1) == 4


@pytest.mark.parametrize(
    ("gigabytes", "processes", "expected"),
    [(24, 1, 4), (11, 1, 2), (5, 1, 1), (1, 1, 1), (24, 2, 2)],
)
def test_training_runs_at_once_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch, gigabytes: int, processes: int, expected: int
) -> None:
    monkeypatch.setattr(machine, "count_cores", lambda: 9)
    monkeypatch.setattr(jobs, "count_memory", lambda: gigabytes * 10**9)
    lent = replace(MACHINE, processes=processes)
    assert count_jobs(lent, slots=0, process_bytes=5_100_000_000) == expected


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/job/step", {"job/memory.max": "4096", "job/step/memory.max": "max"}, 4096),
        ("0::/", {"memory.max": "4096"}, 4096),  # as in a container
        ("0::/docker/1", {"memory.max": "4096"}, 4096),
        (
            "5:cpu:/job\n4:memory:/job\n0::/",
            {
                "cpu/job/memory.limit_in_bytes": "1",
                "memory/job/memory.limit_in_bytes": "4096",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            4096,
        ),
        ("0::/", {}, None),
        (None, {}, None),
    ],
)
def test_memory_is_what_control_groups_leave_of_it(
    tmp_path: Path, groups: str | None, limits: dict[str, str], expected: int | None
) -> None:
    files = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    if groups is not None:
        files["proc/self/cgroup"] = groups
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert count_memory(tmp_path) == (expected or psutil.virtual_memory().total)
