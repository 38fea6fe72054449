"""Additions: trained on in every split that does not test their group, and nowhere tested."""

import hashlib
from collections.abc import Set
from pathlib import Path

import pytest
from list_files import UCF101_GROUPS, UCF101_VIDEOS, split_config, ucf101_lists

from tsn.lists import SplitError
from tsn.sources.additions import (
    ADDITIONS,
    Addition,
    fetch_additions,
    read_additions,
    write_additions,
)
from tsn.splits.formats import Counts, split_lists


def addition(video: str, group: str = "") -> Addition:
    return Addition(video, group, hashlib.sha256(video.encode()).hexdigest())


def test_additions_are_trained_on_and_the_test_stays(tmp_path: Path) -> None:
    lists = ucf101_lists(tmp_path)
    counts = Counts(videos=6, train=(4,), test=(2,))
    recipe = split_config("ucf101", group_pattern=UCF101_GROUPS, counts=counts)
    before = split_lists(UCF101_VIDEOS, lists, recipe)
    new = ["YoYo/phone.mp4", "HandstandPushups/v_x_g09_c01.avi", "YoYo/v_YoYo_g01_c07.avi"]
    write_additions(lists / ADDITIONS, map(addition, new))
    after = split_lists([*UCF101_VIDEOS, *new], lists, recipe)
    assert after.test == before.test
    added = after.train[1][len(before.train[1]) :]
    # Group 01 of YoYo is tested: its new clip stands on no side.
    assert [(row.video, row.label, row.group) for row in added] == [
        ("HandstandPushups/v_x_g09_c01.avi", 1, "09"),
        ("YoYo/phone.mp4", 0, "YoYo/phone.mp4"),
    ]


def test_the_group_that_a_spreadsheet_names_counts(tmp_path: Path) -> None:
    lists = ucf101_lists(tmp_path)
    write_additions(lists / ADDITIONS, [addition("YoYo/phone.mp4", group="01")])
    recipe = split_config("ucf101", group_pattern=UCF101_GROUPS)
    found = split_lists([*UCF101_VIDEOS, "YoYo/phone.mp4"], lists, recipe)
    assert "YoYo/phone.mp4" not in found.videos


def test_an_addition_of_a_class_that_is_left_out_is_left_out(tmp_path: Path) -> None:
    lists = ucf101_lists(tmp_path)
    write_additions(lists / ADDITIONS, [addition("Unknown/1.mp4")])
    videos = [*UCF101_VIDEOS, "Unknown/1.mp4"]
    some = split_config("ucf101", group_pattern=UCF101_GROUPS, classes=("YoYo",))
    assert "Unknown/1.mp4" not in split_lists(videos, lists, some).videos
    with pytest.raises(SplitError, match=r"Unknown/1\.mp4 is of no class"):
        split_lists(videos, lists, split_config("ucf101", group_pattern=UCF101_GROUPS))


def put(folder: Path, video: str) -> None:
    path = folder / "videos" / video
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video.encode())
    write_additions(folder / "clips.csv", [*read_additions(folder / "clips.csv"), addition(video)])


def fetch(folder: Path, known: Set[str] = frozenset()) -> list[str]:
    return list(fetch_additions(folder / "new", folder / "videos", folder / "lists", known))


def test_additions_are_put_among_the_videos_and_lists(tmp_path: Path) -> None:
    put(tmp_path / "new", "b/2, 'two'.mp4")
    put(tmp_path / "new", "a/1.mp4")
    assert fetch(tmp_path) == ["a/1.mp4", "b/2, 'two'.mp4"]
    assert (tmp_path / "videos/b/2, 'two'.mp4").read_bytes() == b"b/2, 'two'.mp4"
    assert read_additions(tmp_path / "lists" / ADDITIONS) == [
        addition("a/1.mp4"),
        addition("b/2, 'two'.mp4"),
    ]


def test_without_additions_nothing_is_written(tmp_path: Path) -> None:
    assert fetch(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_the_source_has_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    put(tmp_path / "new", "a/1.mp4")
    put(tmp_path / "new", "a/2.mp4")
    assert fetch(tmp_path, {addition("a/1.mp4").sha256}) == ["a/2.mp4"]
    assert read_additions(tmp_path / "lists" / ADDITIONS) == [addition("a/2.mp4")]


def test_a_name_that_is_taken_and_a_file_that_is_missing_are_told(tmp_path: Path) -> None:
    put(tmp_path / "new", "a/1.mp4")
    (tmp_path / "videos/a").mkdir(parents=True)
    (tmp_path / "videos/a/1.mp4").write_bytes(b"of the source")
    with pytest.raises(SplitError, match=r"has another a/1\.mp4"):
        fetch(tmp_path)
    (tmp_path / "new/videos/a/1.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="dvc pull"):
        fetch(tmp_path)


@pytest.mark.parametrize(
    "video",
    ["../evil.mp4", "a/../../evil.mp4", "/etc/evil.mp4", "a/b/c.mp4", "evil.mp4", "a/.evil", "./x"],
)
def test_a_list_of_additions_that_leads_out_of_its_folder_is_refused(
    tmp_path: Path, video: str
) -> None:
    write_additions(tmp_path / "in/clips.csv", [addition("YoYo/1.mp4"), addition(video)])
    with pytest.raises(SplitError, match=r"clips\.csv row \d: '.*', expected <class>/<clip>"):
        list(fetch_additions(tmp_path / "in", tmp_path / "videos", tmp_path / "lists", set()))
    assert not (tmp_path / "videos").exists()
