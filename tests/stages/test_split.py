"""The split stage as a program, on real videos of which one is on both sides."""

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest
from videos import vivid_frames, write_video
from workspace import ROOT, edit, warm

from stages import split as stage
from stages.split import describe_backdrops, describe_counts, describe_unreadable
from tsn.lists import ListedVideo, SplitError, SplitLists
from tsn.sources.folder import checksum_rows, folder_videos
from tsn.splits.leakage import BACKDROP, Leak
from tsn.splits.survey import Facts


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two classes of three people; of the first class, one clip is another's, too."""
    frames = vivid_frames(54, 64, 48)
    for index in range(6):
        path = tmp_path / f"videos/{'ab'[index % 2]}/p{index // 2}_1.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, frames[9 * index : 9 * index + 9], "MJPG")
    shutil.copy(tmp_path / "videos/a/p0_1.avi", tmp_path / "videos/a/p1_2.avi")
    (tmp_path / "videos/b/p2_2.avi").write_bytes(b"broken")
    (tmp_path / "lists").mkdir()
    lines = checksum_rows(tmp_path / "videos", folder_videos(tmp_path / "videos"))
    text = "".join(f"{video},{size},{digest}\n" for video, size, digest in lines)
    (tmp_path / "videos.csv").write_text("video,bytes,sha256\n" + text)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "recipes").mkdir()
    shutil.copy(ROOT / "recipes/weizmann.yaml", tmp_path / "recipes")
    return tmp_path


def split(workspace: Path, leaks: str) -> str:
    recipe = workspace / "recipes/weizmann.yaml"
    edit(recipe, "split.group_pattern", r"^(p\d)_")
    edit(recipe, "split.leaks", leaks)
    paths = {"videos": "videos", "lists": "lists", "checksums": "videos.csv", "out": "splits"}
    words = [word for name, path in paths.items() for word in (f"--{name}", path)]
    done = subprocess.run(
        [warm() / "python", "-m", "stages.split", "--dataset", "weizmann", *words],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]


def test_leaks_are_kept_and_tagged_or_dropped(workspace: Path) -> None:
    told = split(workspace, "keep")
    assert (
        "test videos whose scene a training video shows, too: 1 "
        "(1 the same file: a/p0_1.avi = a/p1_2.avi); all are kept, so" in told
    )
    assert "cannot be read: b/p2_2.avi: not a video file" in told
    assert rows(workspace / "splits/leaks.csv") == [
        "1,a/p0_1.avi,a/p1_2.avi,same bytes,0.0",
        "2,a/p1_2.avi,a/p0_1.avi,same bytes,0.0",
    ]
    assert rows(workspace / "splits/1/test.csv") == [
        "a/p0_1.avi,0,p0,leaked",
        "b/p0_1.avi,1,p0,clean",
    ]
    assert all(row.endswith(",clean") for row in rows(workspace / "splits/3/test.csv"))
    assert len(rows(workspace / "splits/1/train.csv")) == 6
    assert len(rows(workspace / "splits/survey.csv")) == 8
    assert cv2.imread(str(workspace / "splits/classes.jpg")).shape[0] > 108

    assert "; training videos dropped for it: 1; see leaks.csv" in split(workspace, "drop")
    assert "a/p1_2.avi" not in (workspace / "splits/1/train.csv").read_text()
    assert rows(workspace / "splits/1/test.csv") == ["a/p0_1.avi,0,p0,", "b/p0_1.avi,1,p0,"]


def facts_of(counted: int, frames: int, defect: str = "") -> Facts:
    return Facts(
        width=4,
        height=4,
        frames_per_second=25.0,
        counted=counted,
        frames=frames,
        hashes=(),
        decoder="" if defect else "decord",
        defect=defect,
    )


def test_what_was_taken_for_the_stage_is_told_with_an_example() -> None:
    backdrops = [Leak(f"a/{number}", "a/t", BACKDROP, 3.0) for number in range(50)]
    assert describe_backdrops(backdrops) == (
        "test videos before a backdrop that more than a tenth of the groups share: 50 "
        "(as a/0 and a/t); they are taken for no leaks; see leaks.csv"
    )


def test_lying_headers_and_defects_are_told_the_worst_first_and_a_few_of_them() -> None:
    facts = {"a/sound": facts_of(9, 9), "a/fewer": facts_of(9, 12), "a/more": facts_of(50, 9)}
    assert describe_counts(facts) == [
        "videos without the frames that their headers count: 2",
        "  a/more: counted 50, decoded 9",
        "  a/fewer: counted 9, decoded 12",
    ]
    assert describe_counts({"a/sound": facts_of(9, 9)}) == []
    bad = {f"a/{number:02}": facts_of(0, 0, "no video") for number in range(12)}
    told = describe_unreadable(bad)
    assert told[0] == "cannot be read: a/00: no video"
    assert told[10:] == ["and 2 more, in survey.csv"]


def test_one_class_alone_is_refused_with_what_to_do(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    shutil.rmtree("videos/b")
    edit(Path("recipes/weizmann.yaml"), "split.group_pattern", r"^(p\d)_")
    options = stage.Options(
        dataset="weizmann",
        videos=Path("videos"),
        lists=Path("lists"),
        checksums=Path("videos.csv"),
        out=Path("splits"),
    )
    with pytest.raises(SplitError, match=r"weizmann: one class \(a\), .* add clips of another"):
        stage.main(options)
    assert not Path("splits").exists()


def test_classes_and_groups_that_look_alike_are_told() -> None:
    rows = tuple(
        ListedVideo(f"{name}/{clip}", label, group, ())
        for label, name in enumerate(("Walk", "walk"))
        for clip, group in (("Ann_1.avi", "Ann"), ("ann_2.avi", "ann"), ("x.AVI", "x.AVI"))
    )
    lists = SplitLists(
        classes=("Walk", "walk"),
        train={1: rows},
        test={1: (ListedVideo("a/x.avi", 0, "x.avi", ()),)},
    )
    assert [line.split(" differ")[0] for line in stage.alike(lists)] == [
        "classes 'Walk' and 'walk'",
        "groups 'Ann' and 'ann'",
    ]
