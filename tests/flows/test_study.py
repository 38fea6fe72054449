"""A study, whole: a git checkout of the project, a real server, a tiny recipe, two rows."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect_server import shared_server
from ruamel.yaml import YAML
from toy_grid import cleaned, git, require_nobody, wait_until
from workspace import BINARIES, copy_smallest_project, dvc, warm

RECIPE = "recipes/synthetic.yaml"
STUDY = {
    "title": "Two functions",
    "source": "nobody",
    "dataset": "ucf101",
    "splits": [1],
    "columns": {"RGB": "rgb"},
    "compared": "rows",
    "speed": True,
    "published_on": "a machine of its own",
    "rows": {
        "average": {
            "label": "average",
            "set": {},
            "published": {"RGB": 85.7},
            "published_speed": {"RGB": 14},
        },
        "best": {
            "label": "top-2",
            "set": {"train.rgb.network.consensus": "top:2"},
            "published": {"RGB": 85.0},
        },
        "wrong": {"label": "no function", "set": {"train.rgb.network.consensus": "sum"}},
    },
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> dict[str, str]:
    return shared_server()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """The project in git, its recipe at the smallest size, and a study of its own."""
    folder = tmp_path / "project"
    copy_smallest_project(folder)
    YAML().dump({"small": {}, "studies": {"two": STUDY}}, folder / "studies.yaml")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "project")
    with cleaned(tmp_path):
        yield folder


def start(checkout: Path, server: dict[str, str]) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        **server,
        "PATH": f"{warm()}{os.pathsep}{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [warm() / "python", "-m", "flows.cli", "study", "two", "--dataset", "synthetic"],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def study(checkout: Path, server: dict[str, str]) -> str:
    process = start(checkout, server)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said[-5000:]
    return said


def test_a_killed_study_comes_to_its_table_which_dvc_and_mlflow_have(
    checkout: Path, server: dict[str, str]
) -> None:
    killed = start(checkout, server)
    page = checkout / "reports/studies/two/synthetic.json"
    wait_until(lambda: page.is_file() or killed.poll() is not None, "the first row", seconds=400)
    assert killed.poll() is None, killed.communicate()[0][-5000:]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    require_nobody(checkout, seconds=30)
    first = json.loads(page.read_text())["rows"]
    assert list(first) == ["average"]
    said = study(checkout, server)
    assert "wrong cannot be run: recipes/synthetic.yaml: train.rgb" in said
    assert "in state Completed()" not in said  # which Prefect says of each cell without its name
    whole = page.read_bytes()
    found = json.loads(whole)
    assert list(found["rows"]) == ["average", "best"]
    assert found["rows"]["average"] == first["average"]  # of the killed one
    assert found["by_class"].keys() == {"average", "best"}
    study(checkout, server)
    assert page.read_bytes() == whole
    for suffix in (".md", ".png", ".html", "-speed.png"):
        assert page.with_name(f"synthetic{suffix}").stat().st_size > 100
    # Frames/s, measured for real: each row's networks, which the killed study had measured once.
    for name, row in found["rows"].items():
        assert row["frames_per_second"]["RGB"] > 0
        kept = json.loads((checkout / f".tsn/speed/two-synthetic-{name}.json").read_text())
        assert kept["frames_per_second"] == {"rgb": row["frames_per_second"]["RGB"]}
        assert len(kept["videos"]) == 5
    assert found["rows"]["average"]["published_frames_per_second"] == {"RGB": 14}
    assert "Those published are of a machine of its own" in page.with_suffix(".md").read_text()
    # What the rows left: an experiment each, which can be applied.
    shown = json.loads(dvc(checkout, "exp", "show", "--json").stdout)
    names = [row["name"] for commit in shown for row in commit["experiments"] or ()]
    assert sorted(names) == ["two-synthetic-average", "two-synthetic-best"]
    assert dvc(checkout, "exp", "apply", "two-synthetic-best").returncode == 0
    assert "consensus: top:2" in (checkout / RECIPE).read_text()
    metrics = json.loads((checkout / "metrics/synthetic/split1.json").read_text())
    accuracy = 100 * metrics["rgb"]["mean_class_accuracy"]
    assert found["rows"]["best"]["accuracy"]["RGB"]["mean"] == accuracy
    # And in MLflow a run with the table, with the rows below it.
    client = MlflowClient(f"sqlite:///{checkout / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.study = 'two'")
    (parent,) = (run for run in runs if run.data.tags["stage"] == "study")
    rows = [run for run in runs if run.data.tags["stage"] == "study-row"]
    assert {run.data.tags["mlflow.parentRunId"] for run in rows} == {parent.info.run_id}
    assert sorted(run.data.tags["row"] for run in rows) == ["average", "best"]
    assert all(run.data.metrics["RGB/frames_per_second"] > 0 for run in rows)
    assert all("source.split1" in run.data.tags for run in rows)
    require_nobody(checkout)
