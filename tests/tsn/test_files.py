"""A file is complete or absent."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from tsn.files import atomic_path, file_sha256, json_sha256, link_file, read_csv, write_csv


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a/b/file"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == target.parent  # so that the rename stays in one file system
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_block_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(type(error)), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_text() == "old"


def test_two_writers_do_not_share_a_name(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "file") as first, atomic_path(tmp_path / "file") as second:
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "file").read_text() == "1"


def test_a_link_is_to_the_file_that_a_symbolic_link_means(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "in/link").symlink_to("../file")
    link_file(tmp_path / "in/link", tmp_path / "elsewhere/deep/copy")
    copy = tmp_path / "elsewhere/deep/copy"
    assert not copy.is_symlink() and copy.samefile(tmp_path / "file")


def test_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, example 1
    assert file_sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_hash_of_json_does_not_depend_on_the_order_of_keys() -> None:
    expected = hashlib.sha256(b'{"a": 1, "b": 2}').hexdigest()
    assert json_sha256({"b": 2, "a": 1}) == expected


def test_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("a", "b"), [("1", 'x, "y"\nz'), ("ü", "")])
    assert (tmp_path / "t.csv").read_bytes().startswith(b"a,b\n1,")
    expected = [{"a": "1", "b": 'x, "y"\nz'}, {"a": "ü", "b": ""}]
    assert read_csv(tmp_path / "t.csv", ("a", "b")) == expected
    assert read_csv(tmp_path / "t.csv", ("b",)) == [{"b": row["b"]} for row in expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns a,b, got None"),
        ("a,c\n1,2\n", r"expected the columns a,b, got \['a', 'c'\]"),
        ("a,b\n1,2\n3\n", "row 3 has fewer values"),
        pytest.param(f"a,b\n1,{'x' * 131_073}\n", r"t\.csv: not CSV \(field larger", id="long"),
    ],
)
def test_another_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path / "t.csv", ("a", "b"))


def test_a_pipe_and_a_folder_have_no_digest(tmp_path: Path) -> None:
    """Nobody would ever write to the pipe."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"no ordinary file: .*pipe"):
        file_sha256(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        file_sha256(tmp_path)


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    target = tmp_path / "file"

    def fsync(number: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(number).st_mode), target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    for durable in (False, True):
        with atomic_path(target, durable=durable) as temporary:
            temporary.write_text("new")
        if not durable:
            target.unlink()
    assert synced == [(False, False), (True, True)]
