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


def test_one_bad_video_among_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recogniser(tmp_path / "toy", weights={"rgb": 1.0})
    good = write_wandering(tmp_path / "good.avi", 3)
    (tmp_path / "bad.avi").write_bytes(b"no video")
    videos = (tmp_path / "bad.avi", tmp_path / "none.avi", good)
    options = recognise.Options(videos=videos, model=str(tmp_path / "toy"), top=5, json=False)
    with pytest.raises(ValueError, match="2 of 3 videos could not be recognised"):
        recognise.main(options)
    out, err = capsys.readouterr()
    assert out.startswith(f"{good} (") and out.count("%") == 3
    assert "bad.avi: not a video file: it holds text" in err
    assert "none.avi: no such video file" in err


@pytest.mark.parametrize("name", ["models:/toy", "models:/toy/latest", "models:/a/b@champion"])
def test_a_name_that_leads_nowhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected models:/<dataset>@<alias> or models:/"):
        recognise.find_version(name)


def test_an_alias_that_nothing_has_is_refused(mlflow_folder: Path) -> None:
    make_versions(1)
    with pytest.raises(registry.NotRegisteredError, match="toy has no version under the alias ch"):
        recognise.find_version("models:/toy@champion")


def test_odd_files_are_told_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    write_recogniser(tmp_path / "toy", weights={"rgb": 1.0})
    good = write_wandering(tmp_path / "good.avi", 3)
    locked, folder, broken = (tmp_path / name for name in ("locked.avi", "clips", "broken.avi"))
    locked.write_bytes(b"abc")
    make_unreadable(locked, monkeypatch)
    folder.mkdir()
    broken.symlink_to("nowhere")
    bytes_name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi"))
    bytes_name.write_bytes(good.read_bytes())
    for json_ in (False, True):
        videos = (locked, folder, broken, bytes_name, good)
        options = recognise.Options(videos=videos, model=str(tmp_path / "toy"), json=json_)
        with pytest.raises(ValueError, match=r". of 5 videos could not be recognised"):
            recognise.main(options)
        out, err = (text.decode() for text in capfdbinary.readouterr())
        assert "locked.avi: may not be read; change its permissions\n" in err
        assert "clips: a folder, expected a file\n" in err
        assert "broken.avi: a broken link\n" in err
        assert r"caf\xe9.avi" in err + out or r"caf\udce9.avi" in out
        assert "good.avi" in out
