"""A dataset that has changed where it came from is noticed, and taken again."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from workspace import ROOT, copy_project, dvc, edit, environment, warm

from stages import download
from stages.operate.changed_sources import changed_sources

DATASETS = ("mine", "other")
NOTHING: dict[str, list[str]] = {}
SOURCES: dict[str, Any] = {
    "folder": {"folder": {"videos": "inbox/videos", "lists": "inbox/lists"}},
    "csv": {"csv": {"file": "inbox/mine.csv", "root": "inbox"}},
    "archives": {"archives": {"folder": "inbox", "videos": [], "lists": []}},
}


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def take() -> None:
    data = Path("data/mine")
    download.main(
        download.Options(
            dataset="mine",
            videos=data / "videos",
            lists=data / "lists",
            checksums=data / "videos.csv",
            additions=Path("additions/mine"),
        )
    )


@pytest.fixture(params=SOURCES)
def inbox(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of two clips that were taken."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "params.yaml", "datasets: [mine, other]\n")
    for name, source in (("mine", SOURCES[request.param]), ("other", SOURCES["folder"])):
        (tmp_path / "recipes").mkdir(exist_ok=True)
        YAML().dump({"source": source}, tmp_path / f"recipes/{name}.yaml")
    put(tmp_path / "inbox/videos/run/a.avi", "one")
    put(tmp_path / "inbox/videos/walk/b.avi", "two")
    put(tmp_path / "inbox/lists/test.txt", "run/a.avi\n")
    write_sheet(tmp_path / "inbox", "run/a.avi", "walk/b.avi")
    (tmp_path / "additions").mkdir()
    take()
    return tmp_path / "inbox"


def write_sheet(inbox: Path, *clips: str) -> None:
    rows = [f"videos/{clip},{clip.partition('/')[0]}" for clip in clips]
    put(inbox / "mine.csv", "\n".join(["path,label", *rows, ""]))


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["inbox"])


def test_what_is_as_it_was_is_no_change(inbox: Path) -> None:
    assert changed_sources(DATASETS) == NOTHING
    os.utime(inbox / "videos/run/a.avi")  # written anew, and the same
    assert changed_sources(DATASETS) == NOTHING


def test_a_clip_with_other_content_of_the_same_size(inbox: Path) -> None:
    clip = inbox / "videos/run/a.avi"
    time.sleep(0.02)  # a file system's clock may stand still for so long
    clip.unlink()  # another file, as the archives' source may be linked
    clip.write_text("eno")
    os.utime(clip, (1, 1))  # as a copy that keeps the time
    assert changed_sources(DATASETS) == {"mine": ["1 video changed: run/a.avi"]}
    assert changed_sources(DATASETS) == {"mine": ["1 video changed: run/a.avi"]}
    shutil.rmtree("data")
    take()
    assert changed_sources(DATASETS) == NOTHING


def test_clips_that_are_new_or_gone(inbox: Path) -> None:
    (inbox / "videos/run/a.avi").unlink()
    put(inbox / "videos/walk/c.avi", "three")
    write_sheet(inbox, "walk/b.avi", "walk/c.avi")
    lines = changed_sources(DATASETS)["mine"]
    assert lines[:2] == ["1 video new: walk/c.avi", "1 video gone: run/a.avi"]


def test_a_list_that_changed(inbox: Path, kind: str) -> None:
    put(inbox / "lists/test.txt", "walk/b.avi\n")
    put(inbox / "mine.csv", "path,label,group\nvideos/run/a.avi,run,1\nvideos/walk/b.avi,walk,2\n")
    name = "clips.csv" if kind == "csv" else "test.txt"
    assert changed_sources(DATASETS) == {"mine": [f"1 list changed: {name}"]}


def test_a_source_that_is_no_longer_there_is_no_change(inbox: Path) -> None:
    shutil.rmtree(inbox)
    assert changed_sources(DATASETS) == NOTHING


def test_a_source_that_cannot_be_taken_is_told_with_the_way_out(inbox: Path, kind: str) -> None:
    shutil.rmtree(inbox / "videos")
    put(inbox / "videos/nowhere.avi", "in no class")
    put(inbox / "mine.csv", "path,label\nvideos/none.avi,run\n")
    missing = "no such video" if kind == "csv" else "expected <class>/<clip>"
    with pytest.raises(ValueError, match=f"{missing}.* has changed since mine .* `dvc repro`"):
        changed_sources(DATASETS)


@pytest.mark.slow
def test_repro_takes_the_new_state(tmp_path: Path) -> None:
    copy_project(ROOT, tmp_path)
    for clip in ("run/a.avi", "walk/b.avi"):
        put(tmp_path / "inbox/videos" / clip, clip)
    edit(tmp_path / "params.yaml", "datasets", ["mine"])
    shutil.copy(tmp_path / "recipes/weizmann.yaml", tmp_path / "recipes/mine.yaml")
    source = {"folder": {"videos": "inbox/videos", "lists": None}}
    edit(tmp_path / "recipes/mine.yaml", "source", source)
    assert dvc(tmp_path, "config", "--local", "core.no_scm", "true").returncode == 0
    assert dvc(tmp_path, "repro", "download@mine").returncode == 0
    put(tmp_path / "inbox/videos/run/c.avi", "later")
    done = subprocess.run(
        [warm() / "tsn", "repro", "download@mine"],
        cwd=tmp_path,
        env={**environment(tmp_path), "TSN_TRACKING": "off"},
        capture_output=True,
        text=True,
    )
    assert "mine: its source has changed, and is taken again\n1 video new: run/c.avi" in done.stdout
    assert (tmp_path / "data/mine/videos/run/c.avi").read_text() == "later"
    assert "mine" not in dvc(tmp_path, "status", "download@mine").stdout
