"""Retraining, whole: a git checkout of the project, a real server, a tiny recipe, an inbox."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prefect_server import shared_server
from toy_grid import cleaned, git, require_nobody, wait_until
from workspace import BINARIES, ROOT, copy_project, copy_smallest_project, edit, warm

from stages.runtime import params
from stages.tracking import registry
from tsn.sources.synthetic import SyntheticConfig, write_clips

RECIPE = "recipes/synthetic.yaml"
MODALITIES = ["rgb"]  # a whole grid three times: the fewest cells
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> dict[str, str]:
    return shared_server()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """The project in git, its recipe at the smallest size and one split; any challenger wins."""
    folder = tmp_path / "project"
    copy_smallest_project(folder)
    edit(folder / "params.yaml", "splits", [1])
    edit(folder / "params.yaml", "modalities", MODALITIES)
    edit(folder / RECIPE, "promotion.minimum_gain", -1.0)
    edit(folder / RECIPE, "promotion.maximum_class_loss", 1.0)
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
        [warm() / "python", "-m", "flows.cli", "retrain", "synthetic"],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def retrain(checkout: Path, server: dict[str, str]) -> str:
    process = start(checkout, server)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said[-5000:]
    return said


def put_new_clips(checkout: Path) -> None:
    """Ten clips that the dataset does not have, and one that is none."""
    recipe = params.load(checkout / RECIPE)
    config = params.section(recipe, "source.synthetic", SyntheticConfig)
    raw = checkout.parent / "raw"
    for video in write_clips(replace(config, seed=77), raw):
        target = checkout / "inbox/new/synthetic" / video
        if "_g01_" in video:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(raw / video, target.with_name(f"new_{target.name}".replace("_g01", "_g09")))
    (checkout / "inbox/new/synthetic/BallSpin/broken.avi").write_bytes(b"no video")
    time.sleep(11)  # until they are not taken for files that are still being written


def aliases(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout / 'mlflow.db'}")
    names = (registry.CHAMPION, registry.CHALLENGER, registry.PREVIOUS)
    found = {name: registry.find("synthetic", name) for name in names}
    return {name: version.number for name, version in found.items() if version}


def test_new_clips_make_a_challenger_also_after_a_kill_and_nothing_new_ends_at_once(
    checkout: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "version 1 is promoted" in retrain(checkout, server)
    assert aliases(checkout, monkeypatch) == {"champion": "1", "challenger": "1"}
    before = git(checkout, "rev-parse", "HEAD")
    put_new_clips(checkout)
    edited = checkout / RECIPE
    text = edited.read_text()
    edited.write_text(text.replace("seed: 1", "seed: 2"))  # on the desk, not committed
    tree = checkout / ".tsn/trees/retrain-synthetic"
    killed = start(checkout, server)
    log = tree / ".tsn/logs/train@synthetic-1-rgb.log"
    log.unlink()  # of the first time
    wait_until(log.is_file, "a training", seconds=300)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    require_nobody(checkout, seconds=30)
    said = retrain(checkout, server)
    assert "version 2 is promoted" in said
    assert aliases(checkout, monkeypatch) == {"champion": "2", "challenger": "2", "previous": "1"}
    # One commit, of the pointer alone; the edit on the desk is neither used nor lost.
    assert git(checkout, "log", "--format=%s", f"{before}..HEAD") == "Data: new clips of synthetic"
    assert "seed: 2" in edited.read_text() and "seed: 2" not in (tree / RECIPE).read_text()
    report = (checkout / ".tsn/retrain/synthetic/ingest.txt").read_text()
    assert "broken.avi: not a video file" in report and "10 known already" in report
    found = json.loads((checkout / ".tsn/retrain/synthetic/comparison.json").read_text())
    assert (found["champion"], found["challenger"], found["comparison"]["videos"]) == ("1", "2", 10)
    for name in ("test", "train"):
        listed = (tree / f"data/synthetic/splits/1/{name}.csv").read_text()
        assert listed.count("/new_") == (10 if name == "train" else 0)
    assert (checkout / "inbox/new/synthetic/BallSpin/broken.avi").is_file()
    assert "nothing new" in retrain(checkout, server)
    require_nobody(checkout)


def test_no_git_is_told(tmp_path: Path, server: dict[str, str]) -> None:
    copy_project(ROOT, tmp_path / "zip")
    process = start(tmp_path / "zip", server)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "is no git checkout with a commit" in said and "Traceback" not in said
