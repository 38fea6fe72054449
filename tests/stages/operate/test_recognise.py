"""The recognise program: its answers, the names of models, and videos it cannot read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow_models import make_versions, new_run
from recognisers import CLASSES, write_recogniser
from unreadable import make_unreadable
from videos import write_wandering

from stages.operate import recognise
from stages.operate.recognise import Answer
from stages.tracking import registry
from tsn.recogniser.recogniser import load_recogniser

ANSWER = Answer(
    video=Path("clip.avi"), scores=np.log(np.array([1, 7, 2], np.float32)), seconds=1.25
)


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
    assert "folder: a folder, expected a file" in err and "broken.avi: a broken link" in err
    assert r"caf\xe9.avi: its name is not UTF-8; rename it" in err


@pytest.mark.parametrize("name", ["models:/toy", "models:/toy/latest", "models:/a/b@champion"])
def test_a_name_that_leads_nowhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected models:/<dataset>@<alias> or models:/"):
        recognise.find_version(name)


def test_an_alias_that_nothing_has_is_refused(mlflow_folder: Path) -> None:
    make_versions(1)
    with pytest.raises(registry.NotRegisteredError, match="toy has no version under the alias ch"):
        recognise.find_version("models:/toy@champion")
