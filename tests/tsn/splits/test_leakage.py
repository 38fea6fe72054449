"""Leaks by hand: the same bytes, the same scene, and what only looks so."""

from pathlib import Path

import pytest

from tsn.lists import ListedVideo
from tsn.splits.leakage import (
    BACKDROP,
    SAME_BYTES,
    SAME_SCENE,
    Findings,
    Leak,
    drop_leaks,
    find_leaks,
    tag_leaks,
    unseen_videos,
    write_leaks,
)


def listed(*videos: str, tags: tuple[str, ...] = ()) -> list[ListedVideo]:
    return [ListedVideo(video, 0, "", tags) for video in videos]


ZEROS, FOUR, FIVE = "0" * 16, "f" + "0" * 15, "1f" + "0" * 14


def test_the_same_bytes_are_found_whatever_they_show() -> None:
    digests = {"a": "1", "b": "2", "c": "1", "d": "1"}
    hashes = {"a": ("",), "b": (ZEROS,), "c": ("",), "d": ()}
    found = find_leaks(listed("b", "c", "d"), listed("a"), digests, hashes)
    assert found == ([Leak("a", "c", SAME_BYTES, 0.0), Leak("a", "d", SAME_BYTES, 0.0)], [])


def test_the_same_scene_is_a_matter_of_four_bits_in_the_mean() -> None:
    digests = {video: video for video in "abcd"}
    # 4 bits in both frames; 5 and 3; 5 and 4
    hashes = {
        "a": (ZEROS, ZEROS),
        "b": (FOUR, FOUR),
        "c": (FIVE, "7" + "0" * 15),
        "d": (FIVE, FOUR),
    }
    leaks, backdrops = find_leaks(listed("b", "c", "d"), listed("a"), digests, hashes)
    assert leaks == [Leak("a", "b", SAME_SCENE, 4.0), Leak("a", "c", SAME_SCENE, 4.0)]
    assert backdrops == []


@pytest.mark.parametrize(
    ("groups", "twin", "kind"),
    [
        (2, "f" + "0" * 15, SAME_SCENE),
        (3, "f" + "0" * 15, BACKDROP),
        (3, "3" + "0" * 15, BACKDROP),
        (3, "1" + "0" * 15, SAME_SCENE),  # one bit: hardly another clip
    ],
)
def test_a_scene_of_more_groups_than_two_is_the_datasets_backdrop(
    groups: int, twin: str, kind: str
) -> None:
    """Before one wall: the twin, and others of whom each has moved 16 bits away."""
    other = "f" * 4 + "0" * 12
    hashes = {"test": (ZEROS,), "twin": (twin,)} | {f"o{i}": (other,) for i in range(1, groups)}
    hashes["elsewhere"] = ("1" + "f" * 4 + "0" * 11,)
    train = [ListedVideo(name, 0, f"of {name}", ()) for name in hashes if name != "test"]
    train.append(ListedVideo("again", 0, "of twin", ()))
    hashes["again"] = (other,)  # of a group that is counted
    found = find_leaks(train, listed("test"), {name: name for name in hashes}, hashes)
    row = Leak("test", "twin", kind, float(int(twin, 16).bit_count()))
    assert found == (([row], []) if kind == SAME_SCENE else ([], [row]))


@pytest.mark.parametrize("folder", ["", "walk/"])
def test_where_clips_have_no_groups_there_is_no_backdrop(folder: str) -> None:
    """Without a pattern, a clip's group is the name of its file; two classes may have one."""
    names = [f"{folder}{number}.avi" for number in range(5)]
    train = [ListedVideo(name, 0, Path(name).name, ()) for name in names]
    train.append(ListedVideo("run/1.avi", 1, "1.avi", ()))
    hashes = {row.video: (ZEROS,) for row in train} | {"test": (FOUR,)}
    found = find_leaks(train, listed("test"), {name: name for name in hashes}, hashes)
    assert len(found.leaks) == 6 and found.backdrops == []


def test_a_leaked_video_is_not_counted_as_one_of_the_backdrop() -> None:
    hashes = {"test": (ZEROS,), "twin": (ZEROS,)} | {f"o{i}": (FOUR,) for i in range(3)}
    train = [ListedVideo(name, 0, f"of {name}", ()) for name in hashes if name != "test"]
    train.append(ListedVideo("again", 0, "of twin", ()))
    hashes["again"] = (FOUR,)
    found = find_leaks(train, listed("test"), {name: name for name in hashes}, hashes)
    assert found == ([Leak("test", "twin", SAME_SCENE, 0.0)], [])


def test_in_a_large_list_a_tenth_of_the_groups_may_show_a_scene() -> None:
    away = {f"w{i}": ("f" * 16,) for i in range(26)}
    away["again"] = away["w0"]
    for alike in (3, 4):  # of 29 and 30 groups
        hashes = {"test": (ZEROS,)} | away | {f"o{i}": (FOUR,) for i in range(alike)}
        train = [ListedVideo(v, 0, f"of {v}".replace("again", "w0"), ()) for v in hashes][1:]
        found = find_leaks(train, listed("test"), {name: name for name in hashes}, hashes)
        assert found == ([], [Leak("test", "o0", BACKDROP, 4.0)])
    train = [*train[:-1], ListedVideo("w26", 0, "of w26", ())]
    hashes["w26"] = ("f" * 16,)
    found = find_leaks(train, listed("test"), {name: name for name in hashes}, hashes)
    assert [leak.train for leak in found.leaks] == ["o0", "o1", "o2"]


def test_flat_frames_and_unreadable_videos_are_like_nothing() -> None:
    digests = {video: video for video in "abc"}
    flat = {"a": (ZEROS, ""), "b": (ZEROS, ""), "c": ()}
    for train, test in (("bc", "a"), ("a", "c"), ("", "a")):
        assert find_leaks(listed(*train), listed(*test), digests, flat) == ([], [])


def test_leaks_are_tagged_dropped_and_written(tmp_path: Path) -> None:
    leaks = [Leak("a", "x", SAME_BYTES, 0.0), Leak("a", "y", SAME_SCENE, 1 / 3)]
    test = tag_leaks(listed("a", "b", tags=("pan",)), leaks)
    assert [row.tags for row in test] == [("pan", "leaked"), ("pan", "clean")]
    assert [row.tags for row in tag_leaks(listed("a"), [])] == [("clean",)]
    assert [row.video for row in drop_leaks(listed("w", "x", "y"), leaks)] == ["w"]
    backdrop = [Leak("b", "y", BACKDROP, 3.0)]
    write_leaks(tmp_path / "leaks.csv", {1: Findings([], backdrop), 2: Findings(leaks, [])})
    assert (tmp_path / "leaks.csv").read_text().splitlines() == [
        "split,test,train,kind,different_bits",
        "1,b,y,backdrop,3.0",
        "2,a,x,same bytes,0.0",
        "2,a,y,same scene,0.3",
    ]


def test_what_is_a_leak_in_any_test_list_was_seen() -> None:
    train = {1: listed("a", "b"), 2: listed("b", "c", "d")}
    test = {1: listed("c", "d", tags=("clean",)), 2: listed("a", tags=("pan", "leaked"))}
    assert unseen_videos(train, test) == {1: {"b"}, 2: {"b", "c", "d"}}
