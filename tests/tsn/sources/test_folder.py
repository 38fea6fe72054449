"""Videos from a folder: what is taken, what is refused, what is written beside it."""

from pathlib import Path

import pytest

from tsn.files import copy_file
from tsn.sources.folder import (
    FolderConfig,
    SourceError,
    checksum_rows,
    fetch_folder,
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


def test_folder_without_lists_leaves_an_empty_one(tmp_path: Path) -> None:
    put(tmp_path / "in/videos/A/a.mp4")
    assert fetch(tmp_path, lists=None) == ["A/a.mp4"]
    assert (tmp_path / "out/lists").is_dir()
    assert tree(tmp_path / "out/lists") == {}


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


@pytest.mark.parametrize("name", ["loose.mp4", "A/deeper/a.mp4"])
def test_misplaced_file_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path / "A/a.mp4")
    put(tmp_path / name)
    with pytest.raises(SourceError, match=f"{name}: expected <class>/<clip> below"):
        folder_videos(tmp_path)


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
