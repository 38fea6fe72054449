"""Clips before they are taken, and which classes have few."""

from pathlib import Path

import pytest
from videos import write_pan
from workspace import ROOT, copy_project

from stages.operate import new
from stages.operate.clips import thin_classes
from stages.operate.coming import coming_clips, some
from stages.runtime import params
from tsn.lists import ListedVideo, SplitLists


def videos(label: int, count: int) -> tuple[ListedVideo, ...]:
    return tuple(ListedVideo(f"{label}/{n}.avi", label, "", ()) for n in range(count))


def test_a_class_is_thin_by_its_fewest_clips_of_a_split() -> None:
    lists = SplitLists(
        classes=("many", "untested", "untrained"),
        train={
            1: videos(0, 4) + videos(1, 4) + videos(2, 4),
            2: videos(0, 4) + videos(1, 9) + videos(2, 3),
        },
        test={
            1: videos(0, 2) + videos(1, 1) + videos(2, 2),
            2: videos(0, 2) + videos(1, 2) + videos(2, 9),
        },
    )
    assert thin_classes(lists) == {
        "untested": "4 to train, 1 to test in split 1",
        "untrained": "3 to train, 9 to test in split 2",
    }


def test_some_of_many_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.operate.coming.LOOKED_AT", 3)
    assert some("fbdace") == ["a", "c", "e"]
    assert some("ba") == ["a", "b"]


def test_clips_that_will_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_project(ROOT, tmp_path, ("recipes", "params.yaml"))
    monkeypatch.chdir(tmp_path)
    names = [f"{c}/{p}_{c}.avi" for c in ("run", "jump") for p in ("ira", "eli", "daria")]
    for number, name in enumerate(names):
        write_pan(tmp_path / "clips" / name, num_frames=6 + number)
    new.main(new.Options(name="My-Clips", videos=tmp_path / "clips"))
    found = coming_clips(params.load_recipe("My-Clips"))
    assert found is not None
    assert found.frames == sum(range(6, 12))
    assert found.bytes == sum((tmp_path / "clips" / name).stat().st_size for name in names)
    assert found.lists.classes == ("jump", "run") and found.lists.videos == sorted(names)
    assert coming_clips(params.load_recipe("weizmann")) is None  # its inbox is not there
    made = coming_clips(params.load_recipe("synthetic"))
    assert made is not None and (len(made.lists.videos), made.frames) == (180, 180 * 21)
