"""Leaks by hand: the same bytes, the same scene, and what only looks so."""

from pathlib import Path

from tsn.leakage import SAME_BYTES, SAME_SCENE, Leak, drop_leaks, find_leaks, tag_leaks, write_leaks
from tsn.lists import ListedVideo


def listed(*videos: str, tags: tuple[str, ...] = ()) -> list[ListedVideo]:
    return [ListedVideo(video, 0, "", tags) for video in videos]


ZEROS, FOUR, FIVE = "0" * 16, "f" + "0" * 15, "1f" + "0" * 14


def test_the_same_bytes_are_found_whatever_they_show() -> None:
    digests = {"a": "1", "b": "2", "c": "1", "d": "1"}
    hashes = {"a": ("",), "b": (ZEROS,), "c": ("",), "d": ()}
    leaks = find_leaks(listed("b", "c", "d"), listed("a"), digests, hashes)
    assert leaks == [Leak("a", "c", SAME_BYTES, 0.0), Leak("a", "d", SAME_BYTES, 0.0)]


def test_the_same_scene_is_a_matter_of_four_bits_in_the_mean() -> None:
    digests = {video: video for video in "abcd"}
    # 4 bits in both frames; 5 and 3; 5 and 4
    hashes = {
        "a": (ZEROS, ZEROS),
        "b": (FOUR, FOUR),
        "c": (FIVE, "7" + "0" * 15),
        "d": (FIVE, FOUR),
    }
    leaks = find_leaks(listed("b", "c", "d"), listed("a"), digests, hashes)
    assert leaks == [Leak("a", "b", SAME_SCENE, 4.0), Leak("a", "c", SAME_SCENE, 4.0)]


def test_flat_frames_and_unreadable_videos_are_like_nothing() -> None:
    digests = {video: video for video in "abc"}
    flat = {"a": (ZEROS, ""), "b": (ZEROS, ""), "c": ()}
    assert find_leaks(listed("b", "c"), listed("a"), digests, flat) == []
    assert find_leaks(listed("a"), listed("c"), digests, flat) == []
    assert find_leaks([], listed("a"), digests, flat) == []


def test_leaks_are_tagged_dropped_and_written(tmp_path: Path) -> None:
    leaks = [Leak("a", "x", SAME_BYTES, 0.0), Leak("a", "y", SAME_SCENE, 1 / 3)]
    test = tag_leaks(listed("a", "b", tags=("pan",)), leaks)
    assert [row.tags for row in test] == [("pan", "leaked"), ("pan", "clean")]
    assert [row.tags for row in tag_leaks(listed("a"), [])] == [("clean",)]
    assert [row.video for row in drop_leaks(listed("w", "x", "y"), leaks)] == ["w"]
    write_leaks(tmp_path / "leaks.csv", {1: [], 2: leaks})
    assert (tmp_path / "leaks.csv").read_text().splitlines() == [
        "split,test,train,kind,different_bits",
        "2,a,x,same bytes,0.0",
        "2,a,y,same scene,0.3",
    ]
