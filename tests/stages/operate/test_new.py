"""A recipe for one's own videos: what it finds, writes and refuses."""

import copy
import csv
import json
import os
import re
from pathlib import Path

import pytest
from videos import texture, write_pan, write_video
from workspace import ROOT, copy_project

from stages.operate import check, new, studies
from stages.runtime import params


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's recipes and params.yaml."""
    copy_project(ROOT, tmp_path, ("recipes", "params.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_clips(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        write_pan(folder / name, num_frames=8, brightness=number)
    return folder


PEOPLE = [f"{c}/{p}_{c}.avi" for c in ("run", "jump") for p in ("ira", "eli", "daria")]


def test_a_folder_becomes_a_recipe_that_can_be_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new.main(new.Options(name="mine", videos=write_clips(project / "clips", PEOPLE)))
    out = capsys.readouterr().out
    assert "6 clips of 2 classes" in out and "clips of a class   3\n" in out
    assert "3 (daria, eli, ira)" in out and "before the first _" in out
    assert "time to expect" in out and re.search(r"disk to expect     about \d MB", out)
    check.check(check.Options(dataset="mine"))
    recipe = params.load_recipe("mine").values
    assert recipe["source"] == {"folder": {"videos": str(project / "clips"), "lists": None}}
    assert recipe["split"]["group_pattern"] == "^([^_]+)_" and recipe["split"]["splits"] == 3
    assert recipe["train"] == params.load_recipe("weizmann").values["train"]
    assert recipe["ingest"] == {"inbox": "inbox/new/mine"}
    text = Path("recipes/mine.yaml").read_text()
    assert "Weizmann" not in text and "# the longest snippet" in text
    assert "lists: null\n\nsplit:\n" in text
    settings = Path("params.yaml").read_text()
    assert "datasets: [mine]" in settings and "# each has a recipe" in settings
    with pytest.raises(ValueError, match=r"recipes/mine.yaml is there already"):
        new.main(new.Options(name="mine", videos=project / "clips"))


def test_frames_keep_the_shape_of_the_videos(project: Path) -> None:
    for number, name in enumerate(PEOPLE):
        write_video(project / "clips" / name, [texture(48, 64, seed=number)] * 8)
    new.main(new.Options(name="mine", videos=project / "clips"))
    streams = params.load_recipe("mine").values["extract"]
    assert [(row["width"], row["height"]) for row in streams.values()] == [
        (224, 300), (160, 212), (128, 172), (128, 172)
    ]  # fmt: skip


def test_what_is_no_video_is_named_and_allowed_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = write_clips(project / "clips", PEOPLE)
    (clips / "run/eva_run.txt").write_text("no video")
    write_pan(clips / "run/lena_run.avi", num_frames=3)
    new.main(new.Options(name="mine", videos=clips))
    out = capsys.readouterr().out
    assert "will be left out   run/eva_run.txt: " in out
    assert "run/lena_run.avi: 3 frames, a snippet takes 6" in out
    assert params.load_recipe("mine").values["accept"]["max_quarantined"] == 2


def test_clips_without_groups_and_few_of_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a/dusk.avi", "a/noon.avi", "b/barn.avi", "b/pond.avi"]
    clips = write_clips(project / "clips", names)
    new.main(new.Options(name="mine", videos=clips))
    out = capsys.readouterr().out
    assert "every clip stands alone" in out and "few clips          a, b" in out
    recipe = params.load_recipe("mine").values
    assert recipe["split"]["group_pattern"] is None
    assert params.load().values["splits"] == list(range(1, recipe["split"]["splits"] + 1))
    check.check(check.Options(dataset="mine"))


def write_csv(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_csv_file_becomes_a_recipe(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clips(project / "clips", PEOPLE)
    rows = [[f"clips/{v}", v.split("/")[0], v.split("/")[1][:3]] for v in PEOPLE]
    write_csv(project / "clips.csv", [["path", "label", "group"], *rows])
    new.main(new.Options(name="mine", videos=Path("clips.csv")))
    assert "3 (dar, eli, ira): the file's column `group`" in capsys.readouterr().out
    recipe = params.load_recipe("mine").values
    assert recipe["source"] == {"csv": {"file": "clips.csv", "root": "."}}
    assert (recipe["split"]["format"], recipe["split"]["splits"]) == ("csv", 3)


def test_a_csv_file_with_sides_has_one_split_and_clips_of_one_name_are_two(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{day}/{c}.avi" for day in ("monday", "friday") for c in ("run", "jump")]
    write_clips(project / "clips", names)
    rows = [
        [f"clips/{name}", Path(name).stem, "train" if name.startswith("m") else "test"]
        for name in names
    ]
    rows = [[path, "a" if label == "run" else "b", side] for path, label, side in rows]
    write_csv(project / "clips.csv", [["path", "label", "split"], *rows])
    new.main(new.Options(name="mine", videos=Path("clips.csv")))
    assert "4 clips of 2 classes" in capsys.readouterr().out
    assert params.load_recipe("mine").values["split"]["splits"] == 1
    assert params.load().values["splits"] == [1]


def test_of_many_clips_some_are_looked_at_and_more_bad_ones_allowed_for(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.operate.coming.LOOKED_AT", 3)
    clips = write_clips(project / "clips", PEOPLE)
    (clips / "jump/daria_jump.avi").write_text("no video")  # the first by name
    new.main(new.Options(name="mine", videos=clips))
    assert "6 clips of 2 classes (looked at 3)" in capsys.readouterr().out
    assert params.load_recipe("mine").values["accept"]["max_quarantined"] == 3


def test_clips_that_stand_and_lie_are_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = write_clips(project / "clips", PEOPLE)
    write_video(clips / "run/ira_run.avi", [texture(36, 48)] * 8)
    new.main(new.Options(name="mine", videos=clips))
    assert "some stand and some lie" in capsys.readouterr().out


def test_many_clips_are_trained_on_for_longer(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new, "PASSES", 1200)  # and these are few
    clips = write_clips(project / "clips", PEOPLE)  # 4 of them to train, batches of 16
    new.main(new.Options(name="mine", videos=clips))
    train = params.load_recipe("mine").values["train"]
    solvers = {modality: section["solver"] for modality, section in train.items()}
    assert [row["iterations"] for row in solvers.values()] == [300, 300, 450, 450]
    assert solvers["rgb"]["lr_steps"] == [200, 263]
    assert "each clip          is trained on 1200 to 1800 times" in capsys.readouterr().out
    check.check(check.Options(dataset="mine"))


def test_another_active_dataset_stays(project: Path) -> None:
    text = Path("params.yaml").read_text().replace("[synthetic]", "[weizmann]")
    Path("params.yaml").write_text(text)
    new.main(new.Options(name="mine", videos=write_clips(project / "clips", PEOPLE)))
    assert params.load().values["datasets"] == ["weizmann", "mine"]


@pytest.mark.parametrize(
    ("name", "clips", "reason"),
    [
        ("My Clips", PEOPLE, "use letters, digits, _ and -"),
        ("mine", PEOPLE[:3], "one class .run., and a recogniser tells at least two apart"),
        ("mine", ["a.avi"], "expected <class>/<clip>"),
        ("weizmann", PEOPLE, "is there already"),
    ],
)
def test_what_cannot_be_is_refused(project: Path, name: str, clips: list[str], reason: str) -> None:
    before = Path("params.yaml").read_text()
    with pytest.raises(ValueError, match=reason):
        new.main(new.Options(name=name, videos=write_clips(project / "clips", clips)))
    assert Path("params.yaml").read_text() == before
    assert name == "weizmann" or not Path(f"recipes/{name}.yaml").exists()


def test_a_broken_params_file_leaves_no_recipe(project: Path) -> None:
    Path("params.yaml").write_text("splits: [1]\n")
    with pytest.raises(ValueError, match=r"params.yaml: datasets: missing"):
        new.main(new.Options(name="mine", videos=write_clips(project / "clips", PEOPLE)))
    assert not Path("recipes/mine.yaml").exists()


def test_what_cannot_be_taken_and_what_looks_alike_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("None", "NA", "007", "7", "Run", "run")
    turns = [f"{names[n % 6]}/IMG_{n:02}.avi" for n in range(18)]
    clips = write_clips(project / "clips", turns)
    (clips / "run/broken.avi").symlink_to("nowhere")
    (clips / "run/up").symlink_to("..")
    (clips / "empty").mkdir()
    Path(os.fsdecode(os.fsencode(clips / "run") + b"/caf\xe9.avi")).write_bytes(b"abc")
    new.main(new.Options(name="mine", videos=clips))
    out = capsys.readouterr().out
    assert "18 clips of 6 classes" in out and "splits             3" in out
    assert "nearly equal       classes 'Run' and 'run' differ only by case" in out
    assert [line[21:] for line in out.splitlines() if line.startswith("  will be")] == [
        "empty: an empty folder",
        "run/broken.avi: a broken link",
        r"run/caf\xe9.avi: its name is not UTF-8; rename it",
        f"run/up: a folder, expected <class>/<clip> below {clips}",
    ]
    assert params.load_recipe("mine").values["accept"]["max_quarantined"] == 0


def test_a_folder_that_no_recipe_can_name_is_refused(project: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(project) + b"/caf\xe9"))
    path.mkdir()
    with pytest.raises(ValueError, match=r"caf\\xe9: not UTF-8, as a recipe is"):
        new.main(new.Options(name="mine", videos=path))


@pytest.mark.parametrize("like", sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")))
def test_the_experiment_at_the_top_of_a_recipe_can_be_run_and_changes_it(
    like: str,
) -> None:
    recipe = params.load_recipe(like)
    for text in (recipe.path.read_text(), new.HEADER.format(name="a", like="b", path=recipe.path)):
        found = re.search(rf"-S '{recipe.path}:(.+)=(.+)'", text)
        assert found is not None
        changed = copy.deepcopy(recipe.values)
        studies.override(changed, {found[1]: json.loads(found[2])})
        assert changed != recipe.values
        check.check_recipe(params.Settings(recipe.path, changed))
