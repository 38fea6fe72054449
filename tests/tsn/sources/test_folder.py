"""Videos from a folder: what is taken, what is refused, what is written beside it."""

import errno
import os
from pathlib import Path

import pytest
from unreadable import make_unreadable

from tsn.files import copy_file
from tsn.sources.folder import (
    FolderConfig,
    SourceError,
    checksum_rows,
    fetch_folder,
    find_videos,
    folder_videos,
)

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def put(path: Path, content: bytes = b"abc") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fetch(tmp_path: Path, videos: str = "in/videos", lists: str | None = "in/lists") -> list[str]:
    config = FolderConfig(
        videos=str(tmp_path / videos), lists=str(tmp_path / lists) if lists else None
    )
    return list(fetch_folder(config, tmp_path / "out/videos", tmp_path / "out/lists"))


def test_folder_is_copied_with_its_lists(tmp_path: Path) -> None:
    put(tmp_path / "in/videos/B/b (1) [x];&.avi", b"one")
    put(tmp_path / "in/videos/A/a.mp4", b"two")
    put(tmp_path / "in/lists/classInd.txt", b"1 A\n2 B\n")
    assert fetch(tmp_path) == ["A/a.mp4", "B/b (1) [x];&.avi"]
    assert tree(tmp_path / "out/videos") == tree(tmp_path / "in/videos")
    assert tree(tmp_path / "out/lists") == {"classInd.txt": b"1 A\n2 B\n"}


def test_folder_without_lists_leaves_a_note(tmp_path: Path) -> None:
    put(tmp_path / "in/videos/A/a.mp4")
    assert fetch(tmp_path, lists=None) == ["A/a.mp4"]
    assert list(tree(tmp_path / "out/lists")) == ["no_lists.txt"]  # DVC warns of empty folders


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    put(tmp_path / "A/a.mp4")
    for name in (".DS_Store", "A/.a.mp4.part", ".cache/x/y.mp4"):
        put(tmp_path / name)
    assert folder_videos(tmp_path) == ["A/a.mp4"]


@pytest.mark.parametrize("linked", ["clip", "class", "folder"])
def test_links_are_followed(tmp_path: Path, linked: str) -> None:
    """The message of a missing folder tells people to put or link their videos there."""
    put(tmp_path / "disk/A/a.mp4")
    folder = tmp_path / "inbox"
    if linked == "folder":
        folder.symlink_to(tmp_path / "disk")
    elif linked == "class":
        folder.mkdir()
        (folder / "A").symlink_to(tmp_path / "disk/A")
    else:
        (folder / "A").mkdir(parents=True)
        (folder / "A/a.mp4").symlink_to(tmp_path / "disk/A/a.mp4")
    assert folder_videos(folder) == ["A/a.mp4"]


@pytest.mark.parametrize(
    ("name", "told"), [("loose.mp4", "loose.mp4: "), ("A/deeper/a.mp4", "A/deeper: a folder, ")]
)
def test_misplaced_file_is_told(tmp_path: Path, name: str, told: str) -> None:
    put(tmp_path / "A/a.mp4")
    put(tmp_path / name)
    with pytest.raises(SourceError, match=f"{told}expected <class>/<clip> below"):
        folder_videos(tmp_path)
    assert find_videos(tmp_path)[0] == ["A/a.mp4"]
    assert fetch(tmp_path, ".", lists=None) == ["A/a.mp4"]


def test_what_cannot_be_taken_is_told_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    longest, bytes_name = "é" * 123 + "a.mp4", os.fsencode(tmp_path / "in/A") + b"/caf\xe9.mp4"
    for name in ("B/b.mp4", f"A/{longest}", f"A/{longest}a", "A/locked.mp4", "A/a\nb.mp4", "D/d"):
        put(tmp_path / "in" / name)
    Path(os.fsdecode(bytes_name)).write_bytes(b"abc")
    (tmp_path / "in/empty").mkdir()
    os.mkfifo(tmp_path / "in/A/pipe")
    make_unreadable(tmp_path / "in/A/locked.mp4", monkeypatch)
    make_unreadable(tmp_path / "in/D", monkeypatch)
    for name, target in {
        "A/broken.mp4": "nowhere",
        "A/circle.mp4": "circle.mp4",
        "A/up": "..",
        "all": ".",
        "alias": "B",
        "c1": "c2",
        "c2": "c1",
        "top": "..",
    }.items():
        (tmp_path / "in" / name).symlink_to(target)
    assert fetch(tmp_path, "in", lists=None) == [f"A/{longest}", "B/b.mp4"]
    folder = tmp_path / "in"
    back, circle = f"a link that leads back to {folder}", "a link that leads to itself"
    locked = "may not be read; change its permissions"
    expected = {
        r"A/a\nb.mp4": "its name has a control character; rename it",
        "A/broken.mp4": "a broken link",
        r"A/caf\xe9.mp4": "its name is not UTF-8; rename it",
        "A/circle.mp4": circle,
        "A/locked.mp4": locked,
        "A/pipe": "no ordinary file",
        "A/up": f"a folder, expected <class>/<clip> below {folder}",
        f"A/{longest}a": "its name has 252 bytes, at most 251 can be; rename it",
        "D": locked,
        "alias": "the same folder as B",
        "all": back,
        "c1": circle,
        "c2": circle,
        "empty": "an empty folder",
        "top": back,
    }
    told = [record.getMessage() for record in caplog.records]
    assert sorted(told) == [f"left out {name}: {text}" for name, text in sorted(expected.items())]


def test_two_folders_that_lead_to_each_other_are_gone_through_once(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / name / "1.mp4")
        for loop in range(20):
            (tmp_path / name / f"loop{loop}").symlink_to("..")
    videos, left_out = find_videos(tmp_path)
    assert videos == ["a/1.mp4", "b/1.mp4"] and len(left_out) == 40


@pytest.mark.parametrize("alias", ["alias", "zebra"])
def test_a_folder_goes_before_a_link_to_it(tmp_path: Path, alias: str) -> None:
    put(tmp_path / "in/real/x.mp4")
    (tmp_path / "in" / alias).symlink_to("real")
    videos, left_out = find_videos(tmp_path / "in")
    assert videos == ["real/x.mp4"] and left_out == {alias: "the same folder as real"}


def test_a_disk_that_fails_is_no_fault_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "A/a.mp4")

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="Input/output error"):
        patched.setattr(os, "open", fail)
        find_videos(tmp_path)


def test_a_folder_of_nothing_but_oddities_names_them(tmp_path: Path) -> None:
    for number in range(7):
        put(tmp_path / f"{number}.mp4")
    reason = r"holds no videos; expected <class>/<clip>\n  0.mp4: expected(.*\n)+  and 2 more$"
    with pytest.raises(SourceError, match=reason):
        find_videos(tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: no such folder; put or link the videos"):
        folder_videos(tmp_path / "nowhere")
    (tmp_path / "A").mkdir()
    with pytest.raises(SourceError, match="holds no videos"):
        folder_videos(tmp_path)


def test_missing_folder_of_lists_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "in/videos/A/a.mp4")
    with pytest.raises(SourceError, match="in/lists: no such folder of lists"):
        fetch(tmp_path)


def test_checksums_of_known_bytes(tmp_path: Path) -> None:
    put(tmp_path / "A/a.mp4", b"abc")
    assert list(checksum_rows(tmp_path, ["A/a.mp4"])) == [("A/a.mp4", 3, SHA256_OF_ABC)]


def test_copy_is_complete_or_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "missing", tmp_path / "out/file")
    assert tree(tmp_path / "out") == {}
    copy_file(put(tmp_path / "file"), tmp_path / "out/file")
    copy_file(put(tmp_path / "file", b"newer"), tmp_path / "out/file")
    assert tree(tmp_path / "out") == {"file": b"newer"}
