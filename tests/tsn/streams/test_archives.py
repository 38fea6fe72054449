"""Archives: random access gives what was written; anything short or damaged is refused."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tsn.streams import archives
from tsn.streams.archives import (
    ArchiveError,
    ArchiveFullError,
    ManifestRow,
    archive_path,
    count_entries,
    read_entries,
    read_manifest,
    write_archive,
    write_manifest,
)


def gray_levels(count: int, channels: int) -> npt.NDArray[np.uint8]:
    """Flat entries, which JPEG keeps exactly; entry i and channel c have a value of their own."""
    levels = 3 * np.arange(count)[:, None] + 100 * (np.arange(channels) if channels == 2 else 0)
    return np.broadcast_to(levels.reshape(count, 1, 1, -1), (count, 24, 32, channels)).astype(
        np.uint8
    )


@pytest.mark.parametrize("channels", [2, 3])
def test_entries_come_back_in_the_order_asked_for(tmp_path: Path, channels: int) -> None:
    entries = gray_levels(20, channels)
    path = tmp_path / "clip.avi.zip"
    assert write_archive(path, iter(entries), 95) == 20
    assert count_entries(path) == 20
    np.testing.assert_array_equal(read_entries(path, [19, 0, 7, 7]), entries[[19, 0, 7, 7]])
    np.testing.assert_array_equal(read_entries(path, range(20)), entries)


def test_colour_is_blue_green_red(tmp_path: Path) -> None:
    red = np.zeros((1, 24, 32, 3), dtype=np.uint8)
    red[..., 2] = 255
    write_archive(tmp_path / "red.zip", red, 95)
    blue, green, back = read_entries(tmp_path / "red.zip", [0]).reshape(-1, 3).mean(axis=0)
    assert back > 245 and blue < 10 and green < 10


def test_members_are_what_ordinary_tools_expect(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    entries = gray_levels(3, 2)
    write_archive(path, entries, 95)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            *(f"flow_x_{number:05d}.jpg" for number in (1, 2, 3)),
            *(f"flow_y_{number:05d}.jpg" for number in (1, 2, 3)),
        ]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        data = np.frombuffer(archive.read("flow_y_00002.jpg"), dtype=np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), entries[1, :, :, 1])


def test_equal_entries_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        write_archive(tmp_path / name, gray_levels(5, 3), 90)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_members_are_sorted_in_the_file(tmp_path: Path) -> None:
    write_archive(tmp_path / "clip.zip", gray_levels(12, 2), 90)
    with zipfile.ZipFile(tmp_path / "clip.zip") as archive:
        written = sorted(archive.infolist(), key=lambda member: member.header_offset)
    expected = [f"flow_{axis}_{number:05d}.jpg" for axis in "xy" for number in range(1, 13)]
    assert [member.filename for member in written] == expected


def test_frames_are_on_the_disk_before_the_last_one_is_made(tmp_path: Path) -> None:
    written = []

    def frames() -> Iterator[npt.NDArray[np.uint8]]:
        noise = np.random.default_rng(1).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
        for frame in noise:
            written.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
            yield frame

    write_archive(tmp_path / "clip.zip", frames(), 95)
    assert written[-1] > (tmp_path / "clip.zip").stat().st_size / 2


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> object:
        yield gray_levels(1, 3)[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_archive(tmp_path / "clip.zip", failing(), 90)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [2, 3])
def test_an_archive_holds_what_needs_no_zip64_and_not_a_byte_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    """zipfile's own limit is the reference: at it the end record is a plain one."""
    path = tmp_path / "clip.zip"
    entries = gray_levels(6, channels)
    write_archive(path, entries, 90)
    before = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        limit = archive.start_dir
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    monkeypatch.setattr(archives, "_MAX_BYTES", limit)
    write_archive(path, entries, 90)
    assert path.read_bytes() == before
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit - 1)
    write_archive(path, entries, 90)
    assert path.read_bytes() != before
    monkeypatch.setattr(archives, "_MAX_BYTES", limit - 1)
    path.unlink()
    with pytest.raises(ArchiveFullError, match=f"archive of {limit - 1} bytes; cut the video up"):
        write_archive(path, entries, 90)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [np.zeros((4, 4, 1), np.uint8)],
        [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)],
    ],
)
def test_entries_that_make_no_stream_are_refused(
    tmp_path: Path, entries: list[npt.NDArray[np.uint8]]
) -> None:
    with pytest.raises(ValueError, match=r"clip\.zip"):
        write_archive(tmp_path / "clip.zip", entries, 90)


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_outside_is_refused(tmp_path: Path, index: int) -> None:
    write_archive(tmp_path / "clip.zip", gray_levels(20, 2), 90)
    with pytest.raises(ArchiveError, match=rf"clip\.zip: entries \[{index}\] .* 0 to 19"):
        read_entries(tmp_path / "clip.zip", [3, index])


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    write_archive(path, gray_levels(4, 2), 90)
    data = path.read_bytes()
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match="run the extraction"):
            count_entries(path)


def test_a_changed_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    write_archive(path, gray_levels(4, 3), 90)
    data = bytearray(path.read_bytes())
    data[data.index(b"img_00002.jpg") + 100] ^= 0xFF
    path.write_bytes(data)
    assert len(read_entries(path, [0, 2, 3])) == 3
    with pytest.raises(ArchiveError, match=r"img_00002\.jpg does not match"):
        read_entries(path, [1])


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("img_00007.jpg", b"")
    with pytest.raises(ArchiveError, match="not numbered"):
        count_entries(path)


def manifest_row(video: str, reason: str = "") -> ManifestRow:
    status = "quarantined" if reason else "ok"
    return ManifestRow(
        video=video,
        entries=0 if reason else 9,
        missing=1,
        width=96,
        height=72,
        status=status,
        reason=reason,
        key="5eed",
    )


def test_manifest_round_trip_is_sorted(tmp_path: Path) -> None:
    rows = [manifest_row("b/2 (x), [y].avi"), manifest_row("a/1.avi", 'damaged, "badly"')]
    path = write_manifest(rows, tmp_path)
    assert (
        path.read_text().splitlines()[0] == "video,entries,missing,width,height,status,reason,key"
    )
    assert list(read_manifest(tmp_path).items()) == [
        ("a/1.avi", rows[1]),
        ("b/2 (x), [y].avi", rows[0]),
    ]
    assert archive_path(tmp_path, "b/2.avi") == tmp_path / "b" / "2.avi.zip"


def test_manifest_errors_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest\.csv.*run the extraction"):
        read_manifest(tmp_path)
    path = write_manifest([manifest_row("a/1.avi")], tmp_path)
    path.write_text(path.read_text() + "a/2.avi,many,96,72,ok,\n")
    with pytest.raises(ValueError, match=r"manifest\.csv line 3: .*many"):
        read_manifest(tmp_path)
    path.write_text("video,entries\n")
    with pytest.raises(ValueError, match="columns"):
        read_manifest(tmp_path)
