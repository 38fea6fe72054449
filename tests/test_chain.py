"""The chain end to end: `dvc repro` in a copy of the project without .git, on tiny trainings."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from workspace import (
    BINARIES,
    COPIED,
    ROOT,
    copy_project,
    dvc,
    edit,
    environment,
    run_stage,
    runs_of,
    shrink_recipe,
)

from stages.runtime.places import MADE
from tsn.recogniser.folder import read_test_scores

MODALITIES = ["rgb", "flow"]
pytestmark = pytest.mark.slow


RECIPE = "recipes/synthetic.yaml"


def shrink(folder: Path) -> None:
    """The synthetic recipe at the smallest size that still runs every stage."""
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["modalities"] = MODALITIES
    params["machine"].update(device="cpu", processes=1, workers=0, threads=1)
    yaml.dump(params, folder / "params.yaml")
    recipe = yaml.load(folder / RECIPE)
    recipe["source"]["synthetic"].update(groups=3, clips_per_group=1, frames=8)
    shrink_recipe(recipe, MODALITIES)
    yaml.dump(recipe, folder / RECIPE)


def stage(
    workspace: Path, name: str, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return run_stage(workspace, name, "--dataset", "synthetic", *arguments, **variables)


def fuse_split2(
    workspace: Path, scores: str | Path, out: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The fusion of split 2, its metrics in `out`/m.json."""
    reads = ["--split", "2", "--scores", scores, "--list", "data/synthetic/splits/2/test.csv"]
    writes = ["--metrics", out / "m.json", "--plots", out / "plots"]
    return stage(workspace, "fuse", *reads, *writes, **variables)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, as a zip download gives it, after `make repro`."""
    folder = tmp_path_factory.mktemp("chain")
    copy_project(ROOT, folder)
    shrink(folder)
    (folder / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(
        ["make", "--assume-old=.venv/.ready", "repro"],  # the environment is the tests' own
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "all *" in done.stdout  # the fused table, its headline marked
    assert "reports/synthetic/index.html" in done.stdout
    return folder


def test_every_split_and_the_mean_are_measured(workspace: Path) -> None:
    rows = [*MODALITIES, "all", "baseline"]
    for name in ("split1", "split2", "split3", "mean"):
        metrics = json.loads((workspace / f"metrics/synthetic/{name}.json").read_text())
        assert sorted(metrics) == sorted([*rows, "learned"] if name == "mean" else rows)
        for row in metrics.values():
            assert row.keys() >= {"mean_class_accuracy", "top1", "top5"}
    splits = [
        json.loads((workspace / f"metrics/synthetic/split{k}.json").read_text()) for k in (1, 2, 3)
    ]
    mean = json.loads((workspace / "metrics/synthetic/mean.json").read_text())
    expected = sum(split["all"]["top1"] for split in splits) / 3
    assert mean["all"]["top1"] == pytest.approx(expected)
    assert "all: rgb + 1.5 flow" in (workspace / "reports/synthetic/table.txt").read_text()


def test_a_second_repro_runs_nothing(workspace: Path) -> None:
    done = dvc(workspace, "repro")
    assert done.returncode == 0
    assert "Running stage" not in done.stdout
    assert json.loads(dvc(workspace, "status", "--json").stdout) == {}


def test_mlflow_holds_a_run_for_every_cell_split_and_the_mean(workspace: Path) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{workspace / 'mlflow.db'}"
    found = runs_of(store, "synthetic")
    counts = {stage: len(runs) for stage, runs in found.items()}
    fused = {"fuse": 3, "report": 1, "package": 1}
    assert counts == {"pretrain": 1, "baseline": 3, "cell": 6, **fused}
    assert {run.info.status for runs in found.values() for run in runs} == {"FINISHED"}
    for run in found["cell"]:
        assert run.data.metrics.keys() >= {"train/loss", "train/lr", "test/top1"}
        assert run.data.params["train.solver.iterations"] == "2"
        assert run.data.tags["dvc.stage"].startswith("train@synthetic-")
        files = {file.path for file in MlflowClient(store).list_artifacts(run.info.run_id)}
        assert files >= {"inputs.png", "weights.json"}
        assert any(file.endswith(".npz") for file in files)


def history(store: str, run_id: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    points = MlflowClient(store).get_metric_history(run_id, "train/loss")
    return [(point.step, point.value) for point in points]


def test_restored_cells_get_the_runs_they_had(workspace: Path, tmp_path: Path) -> None:
    """As after `dvc pull` into a fresh clone: all results are here, and nobody saw them made."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    (workspace / MADE).rename(tmp_path / "made")

    def sync() -> str:
        done = run_stage(workspace, "operate.sync", MLFLOW_TRACKING_URI=store)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = sync()
    assert told.count("logged to MLflow") == 3 + 6 + 6 + 3 + 1 + 1
    assert "models:/synthetic/1 is the challenger" in told
    before, after = (
        runs_of(f"sqlite:///{workspace / 'mlflow.db'}", "synthetic"),
        runs_of(store, "synthetic"),
    )
    counts = {k: len(v) for k, v in after.items()}
    assert counts == {"baseline": 3, "cell": 6, "fuse": 3, "report": 1, "package": 1}
    for stage_name, restored in after.items():
        original = {run.data.tags["fingerprint"]: run.data for run in before[stage_name]}
        for run in restored:
            was = original[run.data.tags["fingerprint"]]
            assert run.info.status == "FINISHED"
            assert run.data.metrics == was.metrics
            assert run.data.params.items() <= was.params.items()
            assert run.data.tags["restored"] == "true" and "restored" not in was.tags
        curves = [history(store, run.info.run_id) for run in restored if stage_name == "cell"]
        assert all(len(curve) == 2 for curve in curves)
    sources = [tag for tag in after["report"][0].data.tags if tag.startswith("source.")]
    assert sorted(sources) == ["source.split1", "source.split2", "source.split3"]
    assert sync() == ""
    (tmp_path / "made").rename(workspace / MADE)


def test_who_only_types_dvc_repro_finds_the_runs_too(workspace: Path, tmp_path: Path) -> None:
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    before = (workspace / RECIPE).read_text()
    edit(workspace / RECIPE, "fusion.combinations.all.flow", 2.5)
    try:
        done = subprocess.run(
            [BINARIES / "dvc", "repro"],
            cwd=workspace,
            env={**environment(workspace), **store},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found = runs_of(store["MLFLOW_TRACKING_URI"], "synthetic")
        assert {stage: len(runs) for stage, runs in found.items()} == {
            **{"baseline": 3, "cell": 6, "fuse": 3, "report": 1, "package": 1}
        }
        assert all("restored" not in run.data.tags for runs in found.values() for run in runs)
        assert "models:/synthetic/1 is the challenger" in done.stdout
    finally:
        (workspace / RECIPE).write_text(before)
        dvc(workspace, "repro")


def test_the_same_cell_in_another_folder_gives_the_same_bytes(
    workspace: Path, tmp_path: Path
) -> None:
    for name in (
        *("tsn", "stages", "params.yaml", "recipes", "dvc.yaml", "data", "models/synthetic/init"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (workspace / name).is_dir() else shutil.copy
        copy(workspace / name, tmp_path / name)
    lock = YAML(typ="safe", pure=True).load(workspace / "dvc.lock")["stages"]
    for name in ("train@synthetic-2-flow", "score@synthetic-2-flow"):
        words = lock[name]["cmd"].split()
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    for name in ("models/synthetic/2/flow/weights.safetensors", "scores/synthetic/2/flow.npz"):
        assert (tmp_path / name).read_bytes() == (workspace / name).read_bytes()


def test_an_edit_during_a_training_is_noticed_and_not_recorded(workspace: Path) -> None:
    before, lock = (workspace / RECIPE).read_text(), (workspace / "dvc.lock").read_text()
    machine = (workspace / "params.yaml").read_text()
    edit(workspace / "params.yaml", "machine.checkpoint_seconds", 0.0)
    edit(workspace / RECIPE, "train.rgb.solver.iterations", 40)
    try:
        process = subprocess.Popen(
            [BINARIES / "dvc", "repro", "--single-item", "train@synthetic-1-rgb"],
            cwd=workspace,
            env=environment(workspace),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started = workspace / ".tsn/progress/synthetic-1-rgb"
        deadline = time.monotonic() + 120
        while not (started.is_dir() and any(started.glob("*.safetensors"))):
            assert process.poll() is None and time.monotonic() < deadline, "it never trained"
            time.sleep(0.05)
        edit(workspace / RECIPE, "train.rgb.solver.base_lr", 0.9)
        _, errors = process.communicate(timeout=300)
        assert process.returncode != 0
        assert f"changed while this stage ran: {RECIPE} train.rgb" in errors
        assert (workspace / "dvc.lock").read_text() == lock
    finally:
        (workspace / RECIPE).write_text(before)
        (workspace / "params.yaml").write_text(machine)
        shutil.rmtree(workspace / ".tsn/progress", ignore_errors=True)
        dvc(workspace, "checkout", "--force", "-q")


def test_a_changed_flow_parameter_leaves_the_rgb_cells_alone(workspace: Path) -> None:
    before = (workspace / RECIPE).read_text()
    edit(workspace / RECIPE, "train.flow.solver.base_lr", 0.5)
    try:
        stale = json.loads(dvc(workspace, "status", "--json").stdout)
        assert {name for name in stale if name.startswith("train")} == {
            f"train@synthetic-{split}-flow" for split in (1, 2, 3)
        }
    finally:
        (workspace / RECIPE).write_text(before)


def test_the_recogniser_gives_the_scores_of_the_pipeline(workspace: Path) -> None:
    """For the last test video, whichever the stage itself looked at."""
    tests = read_test_scores(workspace / "recognisers/synthetic")
    video = workspace / "data/synthetic/videos" / tests.videos[-1]
    done = subprocess.run(
        [BINARIES / "tsn", "recognise", video, "--json", "--model", "models:/synthetic@challenger"],
        cwd=video.parent,  # any folder of the project
        env=environment(workspace),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert tuple(scores) == tests.classes
    np.testing.assert_allclose(list(scores.values()), tests.scores[-1], atol=1e-4)


def test_dvc_plots_show_the_training_and_the_confusions(workspace: Path) -> None:
    done = dvc(workspace, "plots", "show", "--json", "--out", "shown")
    assert done.returncode == 0, done.stderr
    for name in ("1/training/rgb.csv", "2/accuracy.csv", "3/confusion.csv", "1/per_class.png"):
        assert f"plots/synthetic/{name}" in done.stdout


def test_a_second_clone_takes_everything_from_the_remote(workspace: Path, tmp_path: Path) -> None:
    remote, second = tmp_path / "remote", tmp_path / "second"
    second.mkdir()
    brought = (*COPIED, "dvc.lock", "metrics", ".dvc/config.local")
    copy_project(workspace, second, brought)
    for folder, command in ((workspace, ["push"]), (second, ["repro", "--pull"])):
        assert dvc(folder, "remote", "add", "--local", "-d", "shared", str(remote)).returncode == 0
        done = dvc(folder, *command, *(["--run-cache"] if command == ["push"] else []))
        assert done.returncode == 0, done.stderr
        dvc(folder, "remote", "remove", "--local", "shared")
    assert "Running stage" not in done.stdout
    assert dvc(second, "status").stdout.strip() == "Data and pipelines are up to date."
    for name in ("models/synthetic/2/flow", "reports/synthetic", "data/synthetic/rgb"):
        files = [path.relative_to(workspace) for path in (workspace / name).rglob("*.*")]
        assert files
        for file in files:
            assert (second / file).read_bytes() == (workspace / file).read_bytes()


def test_scores_of_another_split_are_refused(workspace: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "scores"
    shutil.copytree(workspace / "scores/synthetic/2", foreign)
    shutil.copy(workspace / "scores/synthetic/1/flow.npz", foreign / "flow.npz")
    done = fuse_split2(workspace, foreign, tmp_path)
    assert done.returncode == 1
    assert (
        "flow.npz holds scores of synthetic split 1 flow, expected synthetic split 2" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.json").exists()


def test_a_broken_video_is_named_and_stops_the_extraction(workspace: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(workspace / "data/synthetic/videos", videos)
    broken = next(videos.rglob("*.avi"))
    content = broken.read_bytes()
    broken.unlink()  # DVC's links are read-only
    broken.write_bytes(content[: len(content) // 2])
    names = workspace / "data/synthetic/splits/videos.txt"
    writes = ["--out", tmp_path / "out", "--quarantine", tmp_path / "q.csv"]
    paths = ["--videos", videos, "--list", names, *writes]
    done = stage(workspace, "extract", "--modality", "rgb", *paths)
    assert done.returncode == 1
    assert f"{broken.relative_to(videos)}: " in done.stderr
    assert "max_quarantined allows 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dead_mlflow_server_costs_no_result(workspace: Path, tmp_path: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = fuse_split2(workspace, "scores/synthetic/2", tmp_path, **away)
    assert done.returncode == 0, done.stderr
    synced = run_stage(workspace, "operate.sync", **away)
    assert synced.returncode == 0 and "MLflow is not reachable" in synced.stderr
    assert json.loads((tmp_path / "m.json").read_text()) == json.loads(
        (workspace / "metrics/synthetic/split2.json").read_text()
    )


def test_a_mistyped_parameter_is_refused_by_name_and_nothing_is_recorded(workspace: Path) -> None:
    recipe, lock = (workspace / RECIPE).read_text(), (workspace / "dvc.lock").read_text()
    edit(workspace / RECIPE, "train.rgb.dropuot", 0.5)
    try:
        done = dvc(workspace, "repro", "train@synthetic-1-rgb")
        assert done.returncode != 0
        assert f"{RECIPE}: train.rgb.dropuot: unknown key; valid: seed" in done.stderr
        assert "Traceback" not in done.stderr
        assert (workspace / "dvc.lock").read_text() == lock
    finally:
        (workspace / RECIPE).write_text(recipe)
        dvc(workspace, "checkout", "--force", "-q")
