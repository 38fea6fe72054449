"""The recognise program: its answers, the names of models, and videos it cannot read."""

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow_models import make_versions, new_run
from recognisers import CLASSES, write_recogniser
from typer.testing import CliRunner, Result
from unreadable import make_unreadable
from videos import write_wandering

from flows.cli.__main__ import app
from stages.operate import recognise
from stages.operate.recognise import Answer
from stages.runtime import machine
from stages.tracking import registry
from tsn.recogniser.recogniser import load_recogniser
from tsn.streams.limits import DEFAULT_LIMITS

ANSWER = Answer(
    video=Path("clip.avi"),
    scores=np.log(np.array([1, 7, 2], np.float32)),
    shares=np.array([0.1, 0.7, 0.2]),
    measure="probability",
    seconds=1.25,
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the other tests have: more would hinder them."""
    monkeypatch.setattr(machine, "count_cores", lambda: 1)


def test_text_by_hand() -> None:
    assert recognise.text(ANSWER, CLASSES, 2).splitlines() == [
        "clip.avi (1.2 s)",
        "  run         70.0%  ██████████████",
        "  wave hand   20.0%  ████",
    ]


def test_json_by_hand() -> None:
    answer = json.loads(recognise.json_line(ANSWER, CLASSES, 1))
    assert answer["video"] == "clip.avi"
    assert [row["class"] for row in answer["top"]] == ["run"]
    assert answer["top"][0]["probability"] == pytest.approx(0.7)
    answer = json.loads(recognise.json_line(replace(ANSWER, measure="share"), CLASSES, 1))
    assert answer["top"][0].keys() == {"class", "share"}
    assert list(answer["scores"]) == list(CLASSES)
    assert np.float32(list(answer["scores"].values())).tolist() == ANSWER.scores.tolist()


def test_a_folder_and_a_registered_model_give_the_recognisers_scores(
    mlflow_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mlflow_folder / "bundle/toy"
    video = write_wandering(mlflow_folder / "clip.avi", 9)
    write_recogniser(folder, [video], weights={"rgb": 1.0, "flow": 0.5})
    registry.promote(registry.register("toy", folder, new_run()))
    expected = load_recogniser(folder, torch.device("cpu")).score(video)
    capsys.readouterr()
    for model in (str(folder), "models:/toy@champion", "models:/toy/1"):
        recognise.main(recognise.Options(videos=(video,), model=model, top=3, json=True))
        scores = json.loads(capsys.readouterr().out)["scores"]
        np.testing.assert_allclose(list(scores.values()), expected, atol=1e-4)


def test_bad_videos_among_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recogniser(tmp_path / "toy", weights={"rgb": 1.0})
    good = write_wandering(tmp_path / "good.avi", 3)
    (tmp_path / "bad.avi").write_bytes(b"no video")
    names = ("bad.avi", "none.avi", "locked.avi", "folder", "broken.avi", "caf\udce9.avi")
    (tmp_path / "locked.avi").write_bytes(b"abc")
    make_unreadable(tmp_path / "locked.avi", monkeypatch)
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.avi").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi")).write_bytes(b"abc")
    videos = (*(tmp_path / name for name in names), good)
    options = recognise.Options(videos=videos, model=str(tmp_path / "toy"), top=5, json=False)
    with pytest.raises(ValueError, match="6 of 7 videos could not be recognised"):
        recognise.main(options)
    out, err = capsys.readouterr()
    assert out.startswith(f"{good} (") and out.count("%") == 3
    assert "bad.avi: not a video file: it holds text" in err
    assert "none.avi: no such video file" in err
    assert "locked.avi: may not be read; change its permissions" in err
    assert (
        "folder: no videos in this folder, nor below it" in err
        and "broken.avi: a broken link" in err
    )
    assert r"caf\xe9.avi: its name is not UTF-8; rename it" in err


@pytest.mark.parametrize("name", ["models:/toy", "models:/toy/latest", "models:/a/b@champion"])
def test_a_name_that_leads_nowhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected models:/<dataset>@<alias> or models:/"):
        recognise.find_version(name)


def test_an_alias_that_nothing_has_is_refused(mlflow_folder: Path) -> None:
    make_versions(1)
    with pytest.raises(registry.NotRegisteredError, match="toy has no version under the alias ch"):
        recognise.find_version("models:/toy@champion")


def test_a_folder_of_videos_as_a_table_outside_any_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recogniser(tmp_path / "toy", weights={"rgb": 1.0, "flow": 0.5})
    good = write_wandering(tmp_path / "clips/in/good, or not.avi", 9)
    (tmp_path / "clips/bad.avi").write_bytes(b"no video")
    arguments = ["recognise", "clips", "--csv", "--model", "toy", "--crops", "1"]
    done = CliRunner().invoke(app, [*arguments, "--modalities", "rgb", "--device", "cpu"])
    assert done.exit_code == 1, done.output
    bad_row, row = csv.DictReader(io.StringIO(done.stdout))
    assert bad_row["error"].startswith("not a video file")
    alone = load_recogniser(
        tmp_path / "toy", torch.device("cpu"), DEFAULT_LIMITS, ("rgb",), "centre"
    )
    scores = alone.score(good)
    assert (row["video"], row["error"]) == (str(good), "")
    assert row["class"] == CLASSES[scores.argmax()]
    found = [float(row[f"score:{name}"]) for name in CLASSES]
    np.testing.assert_allclose(found, scores, atol=1e-4)
    assert "2 videos in " in done.stderr
    assert "1 of 2 videos could not be recognised" in done.stderr
    assert not (tmp_path / ".tsn").exists()


def test_the_recogniser_of_the_project_is_its_champion_or_what_is_packaged(
    mlflow_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mlflow_folder)
    with pytest.raises(ValueError, match="not in a project: name a recogniser's folder by --model"):
        recognise.default_model()
    params = Path("params.yaml")
    params.write_text("datasets: [toy]\n")
    assert recognise.default_model() == "recognisers/toy"
    assert "by recognisers/toy, as no version is the champion yet" in capsys.readouterr().err
    registry.promote(make_versions(1)[0])
    assert recognise.default_model() == "models:/toy@champion"
    assert "by the champion, models:/toy/1" in capsys.readouterr().err
    params.write_text("datasets: [toy, other]\n")
    with pytest.raises(
        ValueError, match=r"say which recogniser, by --model: params\.yaml has toy, o"
    ):
        recognise.default_model()


def test_two_forms_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="--json and --csv are two forms of the answer"):
        recognise.Options(videos=(), model=None, json=True, csv=True)


def test_annotated_videos_of_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recogniser(tmp_path / "toy", weights={"rgb": 1.0, "flow": 0.5})
    for name in ("a.avi", "b.avi"):
        write_wandering(tmp_path / "clips" / name, 9)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["recognise", *words, "--model", "toy", "--device", "cpu"])

    done, plain = run("clips", "--json", "--annotate", "made"), run("clips", "--json")
    assert done.exit_code == 0, done.output
    scores, expected = (
        [json.loads(line)["scores"] for line in told.stdout.splitlines()] for told in (done, plain)
    )
    assert scores == expected
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["a.avi.mp4", "b.avi.mp4"]
    for words, why in (
        (("clips", "--annotate", "one.mp4"), "one.mp4 is one file for 2 videos: name a folder"),
        (("made/a.avi.mp4", "--annotate", "made/a.avi.mp4"), "would write over"),
        (("clips", "made", "--csv", "--top", "3"), "leave out --top"),
    ):
        refused = run(*words)
        assert refused.exit_code != 0 and why in refused.stderr
