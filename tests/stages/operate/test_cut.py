"""From published annotations and long videos to the lists of the recipes for them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from encoded import encode
from ruamel.yaml import YAML
from videos import vivid_frames
from workspace import ROOT, copy_project, edit, environment, shrink_recipe, warm

from stages import download, split
from stages.operate import check, cut
from stages.runtime import params
from tsn.lists import read_splits
from tsn.modality import MODALITIES

# Seconds of each class: all else of a video is background.
HAPPENINGS = {
    "video_1": [("HighJump", 0.2, 0.8), ("LongJump", 1.0, 1.6)],
    "video_2": [("LongJump", 0.0, 0.6)],
    "video_3": [("HighJump", 0.4, 1.0), ("LongJump", 1.2, 1.8)],
}


def write_json(folder: Path) -> Path:
    """As ActivityNet is published, with a video that is gone and one of the test set."""
    sides = {"video_1": "training", "video_2": "training", "video_3": "validation"}
    database = {
        video: {
            "duration": 2.0,
            "subset": side,
            "url": f"https://www.youtube.com/watch?v={video}",
            "annotations": [
                {"label": label, "segment": [start, end]} for label, start, end in HAPPENINGS[video]
            ],
        }
        for video, side in sides.items()
    }
    database["gone"] = {**database["video_1"]}
    database["hidden"] = {"duration": 9.0, "subset": "testing", "annotations": []}
    path = folder / "activity_net.v1-2.min.json"
    path.write_text(json.dumps({"version": "VERSION 1.2", "taxonomy": [], "database": database}))
    return path


def write_texts(folder: Path) -> Path:
    """As THUMOS14 is published."""
    texts = folder / "annotation"
    texts.mkdir()
    for video, rows in HAPPENINGS.items():
        ending = "test" if video == "video_3" else "val"
        for label, start, end in rows:
            with (texts / f"{label}_{ending}.txt").open("a") as file:
                file.write(f"{video} {start} {end}\n")
    (texts / "Ambiguous_val.txt").write_text("video_1 0.0 2.0\n")
    return texts


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the recipes, and long videos of different content beside it."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    (tmp_path / "additions").mkdir()
    write_long_videos(tmp_path / "long")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_long_videos(folder: Path) -> None:
    frames = vivid_frames(150, 64, 48)
    for index, video in enumerate(HAPPENINGS):
        part = frames[50 * index : 50 * index + 50]
        encode(folder / f"v_{video}.mp4", part, "mp4", "libx264")


@pytest.mark.parametrize(
    ("dataset", "write", "train", "test"),
    [
        ("activitynet", write_json, "training", "validation"),
        ("thumos14", write_texts, "validation", "test"),
    ],
)
def test_a_list_and_long_videos_become_the_lists_of_the_recipe(
    project: Path, write: type, dataset: str, train: str, test: str
) -> None:
    cut.main(
        cut.Options(
            videos=project / "long",
            annotations=write(project),
            train=(train,),
            test=(test,),
            out=project / "inbox" / dataset,
        )
    )
    data = Path("data") / dataset
    videos, lists, checksums = data / "videos", data / "lists", data / "videos.csv"
    download.main(
        download.Options(
            dataset=dataset,
            videos=videos,
            lists=lists,
            checksums=checksums,
            additions=Path("additions") / dataset,
        )
    )
    split.main(
        split.Options(
            dataset=dataset, videos=videos, lists=lists, checksums=checksums, out=data / "splits"
        )
    )
    found = read_splits(data / "splits")
    assert found.classes == ("HighJump", "LongJump")
    assert {(row.video, row.group) for row in found.train[1]} == {
        ("HighJump/video_1_001_0.2-0.8.mp4", "video_1"),
        ("LongJump/video_1_002_1-1.6.mp4", "video_1"),
        ("LongJump/video_2_001_0-0.6.mp4", "video_2"),
    }
    assert [row.group for row in found.test[1]] == ["video_3", "video_3"]


@pytest.mark.parametrize("dataset", ["activitynet", "thumos14"])
def test_the_recipe_can_be_run_once_it_is_asked_for(project: Path, dataset: str) -> None:
    assert dataset not in params.active_datasets()
    edit(project / "params.yaml", "datasets", [dataset])
    edit(project / "params.yaml", "splits", [1])
    check.main(check.Options(dataset=dataset))
    networks = YAML(typ="safe").load(project / f"recipes/{dataset}.yaml")["train"].values()
    assert {row["network"]["num_segments"] for row in networks} == {7}
    assert {row["network"]["consensus"] for row in networks} == {"top:3"}
    assert {row["network"]["dropout"] for row in networks} == {0.8}
    assert {row["solver"]["batch_size"] for row in networks} == {128}


def shrink(project: Path, dataset: str) -> None:
    """The recipe at the smallest size, from generated initial weights; RGB alone is run."""
    yaml, path = YAML(), project / f"recipes/{dataset}.yaml"
    recipe = yaml.load(path)
    fusion = dict(recipe["fusion"])
    recipe["init"] = yaml.load(project / "recipes/synthetic.yaml")["init"]
    shrink_recipe(recipe, list(MODALITIES))
    recipe["fusion"] = {**fusion, "learned": False}
    for row in recipe["train"].values():
        row["network"]["backbone"] = recipe["init"]["pretext"]["backbone"]
    yaml.dump(recipe, path)
    content = yaml.load(project / "params.yaml")
    content.update(datasets=[dataset], splits=[1], modalities=["rgb"])
    content["machine"].update(device="cpu", workers=0, threads=1)
    yaml.dump(content, project / "params.yaml")


@pytest.mark.slow
def test_networks_of_the_clips_are_tested_on_whole_videos(tmp_path: Path) -> None:
    """ActivityNet's recipe from the list to the mean average precision, as a person types it."""
    project = tmp_path / "project"
    project.mkdir()
    copy_project(ROOT, project)
    (project / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    write_long_videos(project / "long")
    annotations = write_json(project)
    shrink(project, "activitynet")

    def tsn(*words: str | Path) -> str:
        done = subprocess.run(
            [warm() / "python", "-m", "flows.cli", *words],
            cwd=project,
            env=environment(project),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = tsn("cut", "long", "--annotations", annotations, "--out", "inbox/activitynet")
    assert "5 clips of 3 videos" in said and "not there: 1 (gone)" in said
    tsn("repro")
    metrics = json.loads((project / "metrics/activitynet/mean.json").read_text())
    assert "rgb" in metrics
    said = tsn(
        *("recognise", "long", "--untrimmed", "--annotations", annotations),
        *("--model", "recognisers/activitynet", "--subset", "Validation"),
    )
    assert "mean average precision over 1 annotated videos and 2 classes" in said
    assert "windows (M-TWI)      100.0%" in said  # of one video, which shows both
    assert "videos: 1 of validation\n  left out: 2 of other subsets" in said
