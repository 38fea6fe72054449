"""Two results by name, on a real repository of git and DVC and a real registry."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from dvc.repo import Repo
from mlflow_models import new_run
from recognisers import CLASSES, write_recogniser
from videos import write_wandering

from stages.operate import compare_two, sides
from stages.reporting import results
from stages.tracking import registry
from tsn.lists import ListedVideo
from tsn.scoring.scores import VideoScores, save_scores

PARAMS = "datasets: [toy]\nsplits: [2]\nmodalities: [rgb]\n"
RECIPE = """
fusion: {{headline: rgb, combinations: {{}}, learned: false}}
promotion: {{minimum_gain: 0.0, maximum_class_loss: 0.5, confidence: 0.9}}
train: {{rgb: {{seed: {seed}}}}}
"""
SCORES, METRICS = Path("scores/toy/2/rgb.npz"), Path("metrics/toy/split2.json")
DVC_YAML = f"""
stages:
  all:
    matrix: {{dataset: [toy]}}
    cmd: "true"
    params: [{{recipes/toy.yaml: [fusion, train.rgb]}}]
    outs: [{SCORES}, data/toy/videos.csv]
    metrics: [{METRICS}: {{cache: false}}]
"""
VIDEOS = tuple(f"walk/{number}.avi" for number in range(6))
LABELS = np.arange(6) % 3
WRONG_ONCE, WRONG_TWICE = [0, 1, 2, 0, 1, 0], [0, 1, 0, 0, 1, 0]


def make_results(predicted: Sequence[int], seed: int) -> None:
    """What the pipeline leaves when the network with this seed predicts these labels."""
    Path("recipes/toy.yaml").write_text(RECIPE.format(seed=seed))
    scores = np.eye(3, dtype=np.float32)[list(predicted)]
    cell = VideoScores(
        dataset="toy",
        split=2,
        modality="rgb",
        model="",
        fingerprint=str(seed),
        classes=CLASSES,
        videos=VIDEOS,
        labels=LABELS,
        snippets=scores[:, None],
        scores=scores,
    )
    save_scores(cell, SCORES)
    listed = [
        ListedVideo(video, int(label), "", ()) for video, label in zip(VIDEOS, LABELS, strict=True)
    ]
    results.write_rows(METRICS, results.measure({"rgb": scores}, cell, listed))


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Twice wrong on the tag `first`; once on the branch `main`; never in the experiment `sure`."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / ".tsn/dvc"))
        for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
            patch.setenv(variable, "a")
        for variable in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
            patch.setenv(variable, "a@b")
        git("init", "-q", "-b", "main")
        Repo.init(str(folder)).close()
        for path in ("recipes", "data/toy"):
            Path(path).mkdir(parents=True)
        Path("params.yaml").write_text(PARAMS)
        Path("dvc.yaml").write_text(DVC_YAML)
        Path(".gitignore").write_text("/scores\n/data\n/.tsn\n")
        sums = [f"{video},1,digest of {video}" for video in VIDEOS]
        Path("data/toy/videos.csv").write_text("\n".join(["video,bytes,sha256", *sums]) + "\n")
        for seed, predicted in enumerate((WRONG_TWICE, WRONG_ONCE, LABELS), start=1):
            SCORES.unlink(missing_ok=True)
            make_results(predicted, seed)
            with Repo(str(folder)) as repo:
                repo.commit(force=True)
            if seed < 3:
                git("add", "-A")
                git("commit", "-q", "-m", f"seed {seed}")
            if seed == 1:
                git("tag", "first")
        with Repo(str(folder)) as repo:
            repo.experiments.save(name="sure")
        git("checkout", "-q", ".")
        make_results(WRONG_TWICE, 4)  # what is checked out
        yield folder


@pytest.fixture
def workspace(project: Path, mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copytree(project, mlflow_folder, dirs_exist_ok=True)
    monkeypatch.chdir(mlflow_folder)
    return mlflow_folder


def compare(a: str, b: str) -> None:
    compare_two.main(
        compare_two.Options(dataset="toy", a=a, b=b, out=Path("reports").resolve(), json=True)
    )


def register(workspace: Path, predicted: Sequence[int]) -> None:
    """A version that was tested on the same videos, as far as their names say."""
    made = [write_wandering(workspace / f"videos/{video}", 6, seed=1) for video in VIDEOS]
    bundle = workspace / "bundle/toy"
    write_recogniser(bundle, made, weights={"rgb": 1.0}, predicted=predicted)
    registry.register("toy", bundle, new_run())


def test_a_commit_against_an_experiment(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = subprocess.check_output(["git", "status", "--porcelain"])
    compare("first", "sure")
    found = json.loads(capsys.readouterr().out)
    assert found["a"]["is"].startswith("git revision") and "seed 1" in found["a"]["is"]
    assert found["b"]["is"].startswith("DVC experiment")
    assert found["metrics"]["result"] == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert found["settings"] == {"train.rgb.seed": {"a": "1", "b": "3"}}
    assert found["classes"]["wave hand"] == {"videos": 2, "a": 0.0, "b": 1.0}
    paired = found["paired"]
    assert (paired["videos"], paired["only_a"], paired["only_b"]) == (6, 0, 2)
    assert paired["gain"] == pytest.approx(1 / 3)
    assert paired["p_value"] == pytest.approx(0.5)
    assert (found["verdict"], found["notes"]) == ("sure is better.", [])
    page = Path(found["page"]).read_text()
    assert "sure is better." in page and "wave hand" in page
    assert "http" not in page  # it needs no network
    assert subprocess.check_output(["git", "status", "--porcelain"]) == before + b"?? reports/\n"


def test_what_is_checked_out_against_a_version(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(workspace, LABELS)
    Path("data/toy/videos.csv").unlink()  # or its digests would be those of other files
    compare("workspace", "challenger")
    found = json.loads(capsys.readouterr().out)
    assert found["b"]["is"] == "registered version 1, of split 2"
    assert found["metrics"]["result"] == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert found["paired"]["only_b"] == 2
    assert found["notes"] == [
        "workspace: recipes/toy.yaml was changed after the run (train.rgb.seed); the settings "
        "here are those of the run",
        "Of the challenger, only the settings that MLflow keeps are compared",
    ]


def test_a_setting_that_was_edited_and_not_run_is_no_difference(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git("checkout", "-q", "main", "--", "recipes", str(METRICS))
    git("reset", "-q", "--hard")
    with Repo(str(workspace)) as repo:
        repo.checkout(force=True)
    compare("first", "workspace")
    found = json.loads(capsys.readouterr().out)
    assert (found["settings"], found["notes"]) == ({"train.rgb.seed": {"a": "1", "b": "2"}}, [])
    text = RECIPE.format(seed=9).replace("headline: rgb", "headline: twice")
    text = text.replace("combinations: {}", "combinations: {twice: {rgb: 2.0}}")
    Path("recipes/toy.yaml").write_text(text)
    compare("first", "workspace")
    edited = json.loads(capsys.readouterr().out)
    assert edited["settings"] == found["settings"]
    assert edited["b"]["headline"] == found["b"]["headline"] == "rgb"
    (note,) = edited["notes"]
    changed = "fusion.headline, fusion.combinations.twice.rgb, train.rgb.seed and 1 more"
    assert note.startswith(f"workspace: recipes/toy.yaml was changed after the run ({changed}); ")
    git("commit", "-q", "-a", "-m", "a recipe that was not run")
    compare("first", "HEAD")
    committed = json.loads(capsys.readouterr().out)
    assert committed["settings"] == found["settings"]
    assert committed["notes"] == [note.replace("workspace:", "HEAD:")]


def test_scores_that_are_gone_are_named_and_metrics_still_compared(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kept in (workspace / ".dvc/cache/files").rglob("*"):
        if kept.is_file() and not kept.read_bytes().startswith(b"video"):
            kept.unlink()
    compare("first", "main")
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["rgb"]["b"] == pytest.approx(5 / 6)
    assert found["paired"] is None
    assert "the scores of first and main are not there" in found["verdict"]
    assert found["notes"][0].startswith("first: scores/toy/2/rgb.npz missing: neither in DVC's")


def test_metrics_that_git_does_not_have_come_from_the_scores(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(METRICS).unlink()
    compare("first", "workspace")
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["rgb"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(2 / 3)}


def test_a_name_of_two_kinds_is_refused_until_its_kind_is_said(workspace: Path) -> None:
    git("branch", "sure", "first")
    with pytest.raises(ValueError, match=r"sure is ambiguous: git .* write git:sure or exp:sure$"):
        sides.find("sure", "toy", workspace)
    assert sides.find("git:sure", "toy", workspace).key == sides.find("first", "toy", workspace).key
    assert sides.find("exp:sure", "toy", workspace).kind == "exp"


def test_an_unknown_name_is_told_what_there_is(workspace: Path) -> None:
    register(workspace, LABELS)
    with pytest.raises(
        ValueError,
        match=r"branches main, the experiments sure, the versions 1 \(challenger\), and workspace",
    ):
        sides.find("nonesuch", "toy", workspace)
    with pytest.raises(ValueError, match="version:7: no git revision"):
        sides.find("version:7", "toy", workspace)
    with pytest.raises(ValueError, match="main and HEAD are the same: git revision"):
        compare("main", "HEAD")


def test_what_git_knows_and_is_no_commit_is_no_result(workspace: Path) -> None:
    git("tag", "-a", "-m", "a note", "noted", "first")
    assert sides.find("noted", "toy", workspace).key == sides.find("first", "toy", workspace).key
    for name in ("HEAD:params.yaml", "HEAD^{tree}", ""):
        with pytest.raises(ValueError, match=f"^{re.escape(name)}: no git revision"):
            sides.find(name, "toy", workspace)


def test_a_commit_without_results_says_so(workspace: Path) -> None:
    git("rm", "-q", "--cached", "dvc.lock", str(METRICS))
    git("commit", "-q", "-m", "nothing")
    with pytest.raises(
        ValueError, match=r"HEAD \(git .*\) has no results of toy: .*commit dvc.lock"
    ):
        compare("first", "HEAD")


def test_the_tables_for_a_terminal(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = compare_two.Options(
        dataset="toy", a="first", b="main", out=Path("reports").resolve(), json=False
    )
    compare_two.main(options)
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert ["result", "66.7", "83.3", "+16.7"] in lines
    assert ["train.rgb.seed", "1", "2"] in lines
    assert ["wave", "hand", "2", "0.0", "50.0", "+50.0"] in lines
    words = " ".join(text.split())
    assert "first alone is right on 0 videos, main alone on 1: McNemar's test p = 1." in words
    assert "the page with every class   reports/first_against_main.html" in text
