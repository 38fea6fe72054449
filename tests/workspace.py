"""A copy of the project to run the chain in, its recipes shrunk, and what came of it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

BINARIES = Path(sys.executable).parent
SHARED = "TSN_TESTS_FOLDER"  # the variable with a folder of all processes of a test run
ROOT = Path(__file__).parents[1]
COPIED = (
    *("tsn", "stages", "flows", "params.yaml", "recipes", "dvc.yaml", "pyproject.toml"),
    "studies.yaml",
    *("requirements.lock", "additions", "Makefile", ".dvcignore", ".dvc/config"),
)


def copy_project(source: Path, target: Path, names: tuple[str, ...] = COPIED) -> None:
    """What git or a zip download brings: `names` of it. And the compiled flow, for speed."""
    for name in names:
        if (source / name).is_dir():
            ignored = shutil.ignore_patterns("*.pyc*", "*.tmp.*")
            shutil.copytree(source / name, target / name, ignore=ignored)
        else:
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copy(source / name, target / name)


def shrink_recipe(recipe: Any, modalities: list[str]) -> None:
    """The smallest size that still runs every stage."""
    for row in modalities:
        recipe["extract"][row].update(width=64, height=48)
        recipe["train"][row]["input_size"] = 32
        recipe["train"][row]["solver"].update(
            iterations=2, batch_size=4, micro_batch=2, lr_steps=[1]
        )
    recipe["init"]["pretext"]["input_size"] = 32
    recipe["init"]["pretext"]["solver"].update(
        iterations=2, batch_size=4, micro_batch=4, lr_steps=[1]
    )
    recipe["score"].update(snippets=2)
    recipe["baseline"].update(input_size=32)
    recipe["fusion"] = {
        "headline": "all",
        "combinations": {"all": {row: 1.0 + 0.5 * n for n, row in enumerate(modalities)}},
        "learned": len(modalities) > 1,
    }


def copy_smallest_project(folder: Path) -> None:
    """Copy the project into a new folder, with RGB of `synthetic` at its smallest size."""
    folder.mkdir()
    copy_project(ROOT, folder)
    shutil.copy(ROOT / ".gitignore", folder)
    yaml, recipe_path = YAML(), folder / "recipes/synthetic.yaml"
    content = yaml.load(folder / "params.yaml")
    content["machine"].update(device="cpu", workers=1, threads=1)
    yaml.dump(content, folder / "params.yaml")
    recipe = yaml.load(recipe_path)
    recipe["source"]["synthetic"].update(groups=3, clips_per_group=1, frames=8)
    shrink_recipe(recipe, ["rgb"])
    recipe["fusion"] = {"headline": "rgb", "combinations": {}, "learned": False}
    yaml.dump(recipe, recipe_path)


def edit(path: Path, dotted: str, value: object) -> None:
    """Set a value in params.yaml or in a recipe."""
    yaml = YAML()
    content = yaml.load(path)
    section = content
    *parents, last = dotted.split(".")
    for key in parents:
        section = section[key]
    section[last] = value
    yaml.dump(content, path)


def warm() -> Path:
    """The folder of `python`, `dvc` and other programs that start at once (`warm_python.py`)."""
    return Path(os.environ[SHARED]) / "bin"


def environment(workspace: Path) -> Mapping[str, str]:
    return {
        **os.environ,
        "PATH": f"{warm()}{os.pathsep}{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{workspace / 'mlflow.db'}",
        "DVC_NO_ANALYTICS": "true",
    }


def dvc(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [warm() / "dvc", *arguments],
        cwd=workspace,
        env=environment(workspace),
        capture_output=True,
        text=True,
    )


def run_stage(
    workspace: Path, name: str, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [warm() / "python", "-m", f"stages.{name}", *arguments],
        cwd=workspace,
        env={**environment(workspace), **variables},
        capture_output=True,
        text=True,
    )


def runs_of(store: str, dataset: str) -> dict[str, list[Any]]:
    """The runs of experiment `dataset` by their tag `stage`."""
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(dataset)
    assert experiment is not None
    found: dict[str, list[Any]] = {}
    for run in client.search_runs([experiment.experiment_id]):
        found.setdefault(run.data.tags["stage"], []).append(run)
    return found
