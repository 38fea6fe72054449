"""Retraining, whole: a git checkout of the project, a real server, a tiny recipe, an inbox."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect_server import ask, shared_server
from ruamel.yaml import YAML
from toy_grid import cleaned, git, require_nobody, wait_until
from workspace import BINARIES, ROOT, copy_project, copy_smallest_project, edit, warm

from flows import retrain as retraining
from flows.retrain import RetrainingInputs, made_before, nothing_new
from stages.runtime import params
from stages.tracking import registry
from tsn.sources.synthetic import SyntheticConfig, write_clips

RECIPE = "recipes/synthetic.yaml"
MODALITIES = ["rgb"]  # a whole grid twice: the fewest cells
CLASSES = ["MeadowSway", "LakeSway", "DesertSway", "DuskSway"]  # that RGB can tell apart
WELL_TRAINED = {
    "network.bn_momentum": 0.3,
    "network.dropout": 0.0,
    "solver.iterations": 120,
    "solver.lr_steps": [90],
    "solver.batch_size": 8,
    "solver.micro_batch": 8,
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> dict[str, str]:
    return shared_server()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """The project in git, its recipe at the smallest size and one split, hardly trained."""
    folder = tmp_path / "project"
    copy_smallest_project(folder)
    edit(folder / "params.yaml", "splits", [1])
    edit(folder / "params.yaml", "modalities", MODALITIES)
    edit(folder / RECIPE, "split.classes", CLASSES)
    edit(folder / RECIPE, "promotion.minimum_gain", 0.25)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "project")
    with cleaned(tmp_path):
        yield folder


def train_well(checkout: Path) -> None:
    """What a person does about a bad recogniser: a better recipe, committed."""
    for name, value in WELL_TRAINED.items():
        edit(checkout / RECIPE, f"train.rgb.{name}", value)
    git(checkout, "commit", "-q", "-a", "-m", "train longer")


def environment(server: dict[str, str]) -> dict[str, str]:
    found = {
        **os.environ,
        **server,
        "PATH": f"{warm()}{os.pathsep}{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
    }
    found.pop("MLFLOW_TRACKING_URI", None)
    return found


def start(checkout: Path, server: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [warm() / "python", "-m", "flows.cli", "retrain", "synthetic"],
        cwd=checkout,
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_on_schedule(checkout: Path, server: dict[str, str]) -> Any:
    """What the deployment of prefect.yaml does when its hour has come; returns its flow run."""
    pool = f"tsn-{checkout.parent.name}"
    ask(server, "work_pools/", name=pool, type="process")
    content = YAML(typ="safe").load(ROOT / "prefect.yaml")
    (deployment,) = [row for row in content["deployments"] if row["name"] == "synthetic"]
    due = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
    deployment["work_pool"]["name"] = pool
    deployment["schedules"] = [{"interval": 86400, "anchor_date": due}]
    own = checkout.parent / "prefect.yaml"
    YAML().dump({"name": "tsn", "pull": content["pull"], "deployments": [deployment]}, own)
    more = {"TSN_WORKSPACE": str(checkout), "PYTHONPATH": str(checkout)}
    prefect = [warm() / "prefect", "--no-prompt"]
    one = {"work_pools": {"name": {"any_": [pool]}}, "sort": "EXPECTED_START_TIME_ASC"}

    def call(*words: str) -> None:
        command = [*prefect, *words]
        run_here = environment(server) | more
        assert subprocess.run(command, cwd=checkout, env=run_here, timeout=900).returncode == 0

    call("deploy", "--all", "--prefect-file", str(own))
    # A worker that runs once looks once: after the server has planned the run.
    wait_until(lambda: ask(server, "flow_runs/filter", **one), "a planned run", pause=1.0)
    call("worker", "start", "--pool", pool, "--run-once", "--limit", "1")
    return ask(server, "flow_runs/filter", **one)[0]


def retrain(checkout: Path, server: dict[str, str]) -> str:
    process = start(checkout, server)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said[-5000:]
    return said


def put_new_clips(checkout: Path) -> None:
    """A clip of each class that the dataset does not have, and one that is none."""
    recipe = params.load(checkout / RECIPE)
    config = params.section(recipe, "source.synthetic", SyntheticConfig)
    raw = checkout.parent / "raw"
    inbox = checkout / "inbox/new/synthetic"
    for video in write_clips(replace(config, seed=77), raw):
        target = inbox / video
        if "_g01_" in video and target.parent.name in CLASSES:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(raw / video, target.with_name(f"new_{target.name}".replace("_g01", "_g09")))
    (inbox / CLASSES[0] / "broken.avi").write_bytes(b"no video")
    time.sleep(11)  # until they are not taken for files that are still being written


def aliases(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout / 'mlflow.db'}")
    names = (registry.CHAMPION, registry.CHALLENGER, registry.PREVIOUS)
    found = {name: registry.find("synthetic", name) for name in names}
    return {name: version.number for name, version in found.items() if version}


def test_a_better_challenger_is_promoted_by_a_scheduled_run_also_after_a_kill(
    checkout: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "synthetic: version 1 is proposed" in retrain(checkout, server)
    assert aliases(checkout, monkeypatch) == {"challenger": "1"}
    tree = checkout / ".tsn/trees/retrain-synthetic"
    first = RetrainingInputs(commit="", tree=tree, digest="no retraining was of this yet")
    told = nothing_new("synthetic", checkout, first)
    assert told.endswith("no champion: `tsn promote synthetic --version 1` makes it the champion")
    registry.promote(registry.find_number("synthetic", "1"))  # as a person does, of the first
    assert nothing_new("synthetic", checkout, first).endswith("version 1 was made, the champion")
    train_well(checkout)
    before = git(checkout, "rev-parse", "HEAD")
    put_new_clips(checkout)
    edited = checkout / RECIPE
    text = edited.read_text()
    edited.write_text(text.replace("seed: 1", "seed: 2"))  # on the desk, not committed
    killed = start(checkout, server)
    log = tree / ".tsn/logs/train@synthetic-1-rgb.log"
    log.unlink()  # of the first time
    wait_until(log.is_file, "a training", seconds=300)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    require_nobody(checkout, seconds=30)
    flow_run = run_on_schedule(checkout, server)
    assert flow_run["state"]["message"] == "synthetic: version 2 is promoted"
    assert aliases(checkout, monkeypatch) == {"champion": "2", "challenger": "2", "previous": "1"}
    # One commit, of the pointer alone; the edit on the desk is neither used nor lost.
    assert git(checkout, "log", "--format=%s", f"{before}..HEAD") == "Data: new clips of synthetic"
    assert "seed: 2" in edited.read_text() and "seed: 2" not in (tree / RECIPE).read_text()
    report = (checkout / ".tsn/retrain/synthetic/ingest.txt").read_text()
    assert "broken.avi: not a video file" in report and "4 known already" in report
    found = json.loads((checkout / ".tsn/retrain/synthetic/comparison.json").read_text())
    assert (found["champion"], found["challenger"], found["reasons"]) == ("1", "2", [])
    assert found["comparison"]["videos"] == 4
    assert found["comparison"]["challenger"] - found["comparison"]["champion"] >= 0.25
    for name in ("test", "train"):
        listed = (tree / f"data/synthetic/splits/1/{name}.csv").read_text()
        assert listed.count("/new_") == (4 if name == "train" else 0)
    assert (checkout / f"inbox/new/synthetic/{CLASSES[0]}/broken.avi").is_file()
    require_shown(server, flow_run, git(checkout, "rev-parse", "--short", "HEAD"))
    assert "nothing new: neither the clips nor the recipe have changed" in retrain(checkout, server)
    require_nobody(checkout)


def require_shown(server: dict[str, str], flow_run: Any, commit: str) -> None:
    """The UI has the run's name, its refusals in the log, and three artifacts."""
    assert flow_run["name"] == f"synthetic at {commit}"
    mine = {"flow_run_id": {"any_": [flow_run["id"]]}}
    log = "\n".join(row["message"] for row in ask(server, "logs/filter", logs=mine))
    assert "broken.avi: not a video file" in log and "train@synthetic-1-rgb: ran in" in log
    one = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    kept = {row["key"]: row["data"] for row in ask(server, "artifacts/filter", **one)}
    assert kept.keys() == {"retraining-synthetic", "grid-synthetic", "progress-synthetic"}
    assert kept["progress-synthetic"] == 100.0
    accuracies = {row["cell"]: row["accuracy"] for row in json.loads(kept["grid-synthetic"])}
    assert accuracies["score@synthetic-1-rgb"].endswith("%")
    report = kept["retraining-synthetic"]
    assert report.startswith("# synthetic: version 2 is promoted")
    assert "broken.avi" in report and "| mean class accuracy | 25.0% |" in report


def test_a_recogniser_that_this_version_cannot_read_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "is_made", lambda *_: True)
    monkeypatch.setattr(retraining, "read_graph", lambda _: {})
    card = tmp_path / "recognisers/toy/recogniser.json"
    card.parent.mkdir(parents=True)
    card.write_text('{"format": 2}')
    assert made_before("toy", tmp_path, tmp_path) is None


def test_the_name_of_a_clip_is_no_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "tell", lambda _: None)  # no flow run is there
    report = retraining.RetrainingReport()
    report.add_lines("New clips", "toy: 0 new\n  refused inbox/a`<b>`.avi: no video")
    (section,) = report.sections
    assert section.splitlines()[2:] == ["- `toy: 0 new`", "- `refused inbox/a'<b>'.avi: no video`"]


def test_no_git_is_told(tmp_path: Path, server: dict[str, str]) -> None:
    copy_project(ROOT, tmp_path / "zip")
    process = start(tmp_path / "zip", server)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "is no git checkout with a commit" in said and "Traceback" not in said
