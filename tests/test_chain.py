"""The chain end to end: `make repro` in a copy of the project without .git, on tiny networks.

On clips and classes of odd names, of which one clip is broken, in two splits.
"""

import csv
import html
import json
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from odd_names import BROKEN, CLASSES, CLIPS, clips_tested, write_dataset
from ruamel.yaml import YAML
from workspace import (
    COPIED,
    ROOT,
    copy_project,
    dvc,
    edit,
    environment,
    run_stage,
    runs_of,
    shrink_recipe,
    warm,
)

from stages.runtime.places import MADE
from tsn.lists import read_list, read_names
from tsn.recogniser.card import read_test_scores
from tsn.scoring.scores import load_scores

MODALITIES = ["rgb", "flow"]
RECIPE = "recipes/odd.yaml"
COUNTS = {"baseline": 2, "cell": 4, "fuse": 2, "report": 1, "package": 1}  # runs that are logged
pytestmark = pytest.mark.slow


def write_recipe(folder: Path) -> None:
    """The synthetic recipe at the smallest size that still runs every stage, for the odd names."""
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params.update(datasets=["odd"], splits=[1, 2], modalities=MODALITIES)
    params["machine"].update(device="cpu", processes=1, workers=0, threads=1)
    yaml.dump(params, folder / "params.yaml")
    recipe = yaml.load(folder / "recipes/synthetic.yaml")
    recipe["source"] = {"folder": {"videos": "inbox/videos", "lists": "inbox/lists"}}
    recipe["split"].update(format="hmdb51", group_pattern=None, splits=2)
    recipe["accept"]["max_quarantined"] = 1
    shrink_recipe(recipe, MODALITIES)
    yaml.dump(recipe, folder / RECIPE)


def stage(
    workspace: Path, name: str, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return run_stage(workspace, name, "--dataset", "odd", *arguments, **variables)


def fuse_split2(
    workspace: Path, scores: str | Path, out: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The fusion of split 2, its metrics in `out`/m.json."""
    reads = ["--split", "2", "--scores", scores, "--list", "data/odd/splits/2/test.csv"]
    writes = ["--metrics", out / "m.json", "--plots", out / "plots"]
    return stage(workspace, "fuse", *reads, *writes, **variables)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, as a zip download gives it, after `make repro`."""
    folder = tmp_path_factory.mktemp("chain")
    copy_project(ROOT, folder)
    write_dataset(folder / "inbox")
    write_recipe(folder)
    (folder / ".venv").mkdir()
    (folder / ".venv/.ready").touch()
    (folder / ".venv/bin").symlink_to(warm())
    done = subprocess.run(
        ["make", "--assume-old=.venv/.ready", "repro"],  # the environment is the tests' own
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "all *" in done.stdout  # the fused table, its headline marked
    assert "reports/odd/index.html" in done.stdout
    return folder


def test_every_split_and_the_mean_are_measured(workspace: Path) -> None:
    rows = [*MODALITIES, "all", "baseline"]
    for name in ("split1", "split2", "mean"):
        metrics = json.loads((workspace / f"metrics/odd/{name}.json").read_text())
        assert sorted(metrics) == sorted([*rows, "learned"] if name == "mean" else rows)
        for row in metrics.values():
            assert row.keys() >= {"mean_class_accuracy", "top1", "top5"}
    splits = [json.loads((workspace / f"metrics/odd/split{k}.json").read_text()) for k in (1, 2)]
    mean = json.loads((workspace / "metrics/odd/mean.json").read_text())
    expected = sum(split["all"]["top1"] for split in splits) / 2
    assert mean["all"]["top1"] == pytest.approx(expected)
    assert "all: rgb + 1.5 flow" in (workspace / "reports/odd/table.txt").read_text()


def test_every_list_and_score_has_the_original_names(workspace: Path) -> None:
    data = workspace / "data/odd"
    assert read_names(data / "splits/classes.txt") == CLASSES
    everything = sorted([f"{name}/{clip}" for name in CLASSES for clip in CLIPS] + [BROKEN])
    assert list(read_names(data / "splits/videos.txt")) == everything
    for split in (1, 2):
        listed = [row.video for row in read_list(data / f"splits/{split}/test.csv")]
        assert listed == clips_tested(split)
        for modality in MODALITIES:
            assert (data / modality / f"{listed[0]}.zip").is_file()
    for modality in MODALITIES:
        scores = load_scores(workspace / f"scores/odd/1/{modality}.npz")
        assert (scores.videos, scores.classes) == (tuple(clips_tested(1)), CLASSES)
        assert np.isfinite(scores.scores).all()
    with (workspace / "plots/odd/1/confusion.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == clips_tested(1)
    assert {row["actual"] for row in rows} == set(CLASSES)


def test_the_page_names_what_was_set_aside_and_by_whom(workspace: Path) -> None:
    page = (workspace / "reports/odd/index.html").read_text(encoding="utf-8")
    row = page[page.index("<h3>Set aside</h3>") :].split("</tr>")[1]
    cells = [html.unescape(cell.split("</td>")[0]) for cell in row.split("<td>")[1:]]
    assert cells[:2] == [BROKEN, "split, rgb, flow"]
    assert "not a" in cells[2]


def test_a_second_repro_runs_nothing(workspace: Path) -> None:
    done = dvc(workspace, "repro")
    assert done.returncode == 0
    assert "Running stage" not in done.stdout
    assert json.loads(dvc(workspace, "status", "--json").stdout) == {}


def test_mlflow_holds_a_run_for_every_cell_split_and_the_mean(workspace: Path) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{workspace / 'mlflow.db'}"
    found = runs_of(store, "odd")
    counts = {stage: len(runs) for stage, runs in found.items()}
    assert counts == COUNTS | {"pretrain": 1}
    assert {run.info.status for runs in found.values() for run in runs} == {"FINISHED"}
    for run in found["cell"]:
        assert run.data.metrics.keys() >= {"train/loss", "train/lr", "test/top1"}
        assert run.data.params["train.solver.iterations"] == "2"
        assert run.data.tags["dvc.stage"].startswith("train@odd-")
        files = {file.path for file in MlflowClient(store).list_artifacts(run.info.run_id)}
        assert files >= {"inputs.png", "weights.json"}
        assert any(file.endswith(".npz") for file in files)
    (report,) = found["report"]
    client = MlflowClient(store)
    page = Path(client.download_artifacts(report.info.run_id, "report/index.html"))
    assert page.read_bytes() == (workspace / "reports/odd/index.html").read_bytes()


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
    assert (
        told.count("logged to MLflow") == sum(COUNTS.values()) + COUNTS["cell"]
    )  # trained and scored
    assert "models:/odd/1 is the challenger" in told
    before, after = (
        runs_of(f"sqlite:///{workspace / 'mlflow.db'}", "odd"),
        runs_of(store, "odd"),
    )
    counts = {k: len(v) for k, v in after.items()}
    assert counts == COUNTS
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
    assert sorted(sources) == ["source.split1", "source.split2"]
    assert sync() == ""
    (tmp_path / "made").rename(workspace / MADE)


def test_the_same_cell_in_another_folder_gives_the_same_bytes(
    workspace: Path, tmp_path: Path
) -> None:
    for name in (
        *("tsn", "stages", "params.yaml", "recipes", "dvc.yaml", "data", "models/odd/init"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (workspace / name).is_dir() else shutil.copy
        copy(workspace / name, tmp_path / name)
    lock = YAML(typ="safe", pure=True).load(workspace / "dvc.lock")["stages"]
    for name in ("train@odd-2-flow", "score@odd-2-flow"):
        words = shlex.split(lock[name]["cmd"])
        done = subprocess.run(
            [warm() / "python", *words[1:]],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    for name in ("models/odd/2/flow/weights.safetensors", "scores/odd/2/flow.npz"):
        assert (tmp_path / name).read_bytes() == (workspace / name).read_bytes()


def test_an_edit_during_a_training_is_noticed_and_not_recorded(workspace: Path) -> None:
    before, lock = (workspace / RECIPE).read_text(), (workspace / "dvc.lock").read_text()
    machine = (workspace / "params.yaml").read_text()
    edit(workspace / "params.yaml", "machine.checkpoint_seconds", 0.0)
    edit(workspace / RECIPE, "train.rgb.solver.iterations", 40)
    try:
        process = subprocess.Popen(
            [warm() / "dvc", "repro", "--single-item", "train@odd-1-rgb"],
            cwd=workspace,
            env=environment(workspace),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started = workspace / ".tsn/progress/odd-1-rgb"
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
            f"train@odd-{split}-flow" for split in (1, 2)
        }
    finally:
        (workspace / RECIPE).write_text(before)


def test_the_recogniser_gives_the_scores_of_the_pipeline(workspace: Path) -> None:
    """For the last test video, whichever the stage itself looked at."""
    tests = read_test_scores(workspace / "recognisers/odd")
    video = workspace / "data/odd/videos" / tests.videos[-1]
    done = subprocess.run(
        [warm() / "tsn", "recognise", video, "--json", "--model", "models:/odd/1"],
        cwd=video.parent,  # any folder of the project
        env=environment(workspace),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert tuple(scores) == tests.classes
    np.testing.assert_allclose(list(scores.values()), tests.scores[-1], atol=1e-4)


def test_dvc_shows_a_line_of_numbers_and_four_pictures(workspace: Path) -> None:
    table = dvc(workspace, "metrics", "show").stdout.splitlines()
    assert max(map(len, table)) <= 120
    assert table[0].split() == ["Path", "baseline", "flow", "result", "rgb", "top1"]
    mean = json.loads((workspace / "metrics/odd/mean.json").read_text())
    accuracy = round(100 * mean["rgb"]["mean_class_accuracy"], 2)
    assert f"{accuracy}" in table[1].split()
    done = dvc(workspace, "plots", "show", "--out", "shown")
    assert done.returncode == 0, done.stderr
    page = (workspace / "shown/index.html").read_text()
    assert page.count("<img ") == 4 and "http" not in page  # drawn without a network
    for name in ("accuracy", "classes", "confusion", "training"):
        assert f"<p>plots/odd.summary/{name}.png</p>" in page


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
    for name in ("models/odd/2/flow", "reports/odd", "data/odd/rgb"):
        found = (path for path in (workspace / name).rglob("*") if path.is_file())
        files = [path.relative_to(workspace) for path in found]
        assert files
        for file in files:
            assert (second / file).read_bytes() == (workspace / file).read_bytes()


def test_scores_of_another_split_are_refused(workspace: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "scores"
    shutil.copytree(workspace / "scores/odd/2", foreign)
    shutil.copy(workspace / "scores/odd/1/flow.npz", foreign / "flow.npz")
    done = fuse_split2(workspace, foreign, tmp_path)
    assert done.returncode == 1
    assert "flow.npz holds scores of odd split 1 flow, expected odd split 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.json").exists()


def test_a_broken_video_is_named_and_stops_the_extraction(workspace: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(workspace / "data/odd/videos", videos)
    broken = videos / CLASSES[1] / CLIPS[0]
    content = broken.read_bytes()
    broken.unlink()  # DVC's links are read-only
    broken.write_bytes(content[: len(content) // 2])
    names = workspace / "data/odd/splits/videos.txt"
    writes = ["--out", tmp_path / "out", "--quarantine", tmp_path / "q.csv"]
    paths = ["--videos", videos, "--list", names, *writes]
    done = stage(workspace, "extract", "--modality", "rgb", *paths)
    assert done.returncode == 1
    assert f"{broken.relative_to(videos)}: " in done.stderr
    assert "max_quarantined allows 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dead_mlflow_server_costs_no_result(workspace: Path, tmp_path: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = fuse_split2(workspace, "scores/odd/2", tmp_path, **away)
    assert done.returncode == 0, done.stderr
    synced = run_stage(workspace, "operate.sync", **away)
    assert synced.returncode == 0 and "MLflow is not reachable" in synced.stderr
    assert json.loads((tmp_path / "m.json").read_text()) == json.loads(
        (workspace / "metrics/odd/split2.json").read_text()
    )


def test_a_mistyped_parameter_is_refused_by_name_and_nothing_is_recorded(workspace: Path) -> None:
    recipe, lock = (workspace / RECIPE).read_text(), (workspace / "dvc.lock").read_text()
    edit(workspace / RECIPE, "train.rgb.dropuot", 0.5)
    try:
        done = dvc(workspace, "repro", "train@odd-1-rgb")
        assert done.returncode != 0
        assert f"{RECIPE}: train.rgb.dropuot: unknown key; valid: seed" in done.stderr
        assert "Traceback" not in done.stderr
        assert (workspace / "dvc.lock").read_text() == lock
    finally:
        (workspace / RECIPE).write_text(recipe)
        dvc(workspace, "checkout", "--force", "-q")


def test_who_only_types_dvc_repro_finds_the_runs_too(workspace: Path) -> None:
    """The last test, as it leaves another fusion behind."""
    edit(workspace / RECIPE, "fusion.combinations.all.flow", 2.5)
    done = dvc(workspace, "repro")
    assert done.returncode == 0, done.stderr
    assert "models:/odd/2 is the challenger" in done.stdout
    found = runs_of(f"sqlite:///{workspace / 'mlflow.db'}", "odd")
    assert (len(found["fuse"]), len(found["package"])) == (2 * COUNTS["fuse"], 2)
    assert all("restored" not in run.data.tags for runs in found.values() for run in runs)
