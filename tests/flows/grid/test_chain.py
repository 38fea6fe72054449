"""The jobs of a run: what trainings take, by the recipes of the workspace."""

import subprocess
from pathlib import Path

import pytest
from workspace import BINARIES, ROOT, copy_project, edit

from flows.grid import chain
from flows.grid.chain import BASE_BYTES, choose_jobs, largest_training, training_bytes
from flows.grid.queue import Jobs
from stages.runtime import machine, params

GIBIBYTE = 2**30


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a machine of two cores and 24 GB, without a GPU."""
    copy_project(ROOT, tmp_path, ("params.yaml", "recipes"))
    edit(tmp_path / "params.yaml", "machine.device", "cpu")
    monkeypatch.setattr(machine, "count_cores", lambda: 2)
    monkeypatch.setattr(machine, "count_memory", lambda: 24 * 10**9)
    return tmp_path


def active(project: Path, *datasets: str) -> int:
    edit(project / "params.yaml", "datasets", list(datasets))
    return largest_training(project, params.load(project / params.PARAMS))


@pytest.mark.parametrize(
    ("dataset", "measured"), [("synthetic", 1.3), ("ucf101_four", 5.1), ("ucf101_paper", 6.7)]
)
def test_a_training_is_taken_for_no_less_than_was_measured(
    project: Path, dataset: str, measured: float
) -> None:
    """docs/performance.md, Memory; a fifth more at most."""
    assert measured * GIBIBYTE <= active(project, dataset) <= 1.2 * measured * GIBIBYTE


def test_the_largest_active_training_counts(project: Path) -> None:
    recipe = params.load(project / params.recipe_path("ucf101_four"))
    flow, rgb = training_bytes(recipe, "flow"), training_bytes(recipe, "rgb")
    assert flow - BASE_BYTES == 2_000 * 16 * 3 * 128**2
    assert active(project, "synthetic", "ucf101_four") == rgb > flow
    edit(project / "params.yaml", "modalities", ["flow", "warped_flow"])
    assert active(project, "synthetic", "ucf101_four") == flow


def test_trainings_at_once_are_as_many_as_memory_holds(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2)
    active(project, "ucf101_paper")
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2)
    monkeypatch.setattr(machine, "count_memory", lambda: 12 * 10**9)
    assert choose_jobs(project, None) == Jobs(heavy=1, light=2)
    assert choose_jobs(project, 3, 1) == Jobs(heavy=3, light=1)
    active(project, "synthetic")
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2)


def test_frames_are_extracted_beside_what_uses_a_gpu(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(project / "params.yaml", "machine.device", "auto")
    monkeypatch.setattr(machine, "_has_nvidia_driver", lambda: True)
    monkeypatch.setenv("TSN_GPU_SLOTS", "a,b,c")
    assert choose_jobs(project, None) == Jobs(heavy=3, light=2, frames=1)
    assert choose_jobs(project, 1, 1) == Jobs(heavy=1, light=1, frames=1)
    monkeypatch.setenv("TSN_GPU_SLOTS", "")
    assert choose_jobs(project, None) == Jobs(heavy=2, light=2, frames=0)


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
from {chain.__name__} import choose_jobs
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
