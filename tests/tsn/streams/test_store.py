"""The store: what is put comes back by its key, and only if it is still what was put."""

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tsn.streams import store
from tsn.streams.archives import ArchiveError, count_entries, write_archive
from tsn.streams.store import (
    StoredResult,
    find_result,
    link_archive,
    put_result,
    result_key,
    stored_archive_path,
    sweep_store,
)

KEY = "ab" + 62 * "0"


def put_archive(root: Path, num_entries: int = 3) -> StoredResult:
    archive = stored_archive_path(root, KEY)
    write_archive(archive, np.zeros((num_entries, 8, 8, 3), dtype=np.uint8), 90)
    result = StoredResult(
        num_frames=num_entries,
        num_missing=0,
        num_entries=num_entries,
        num_bytes=archive.stat().st_size,
        num_unsupported=0,
        defect="",
    )
    put_result(root, KEY, result)
    return result


def test_key_depends_on_everything_it_is_made_from_and_on_nothing_else() -> None:
    settings = {"width": 96, "homography": {"min_matches": 5, "max_corners": 9}, "bound": 20.0}
    reordered = {"bound": 20.0, "homography": {"max_corners": 9, "min_matches": 5}, "width": 96}
    key = result_key("aa", "flow", 1, settings)
    assert result_key("aa", "flow", 1, reordered) == key
    others = {
        result_key("ab", "flow", 1, settings),
        result_key("aa", "frames", 1, settings),
        result_key("aa", "flow", 2, settings),
        result_key("aa", "flow", 1, settings | {"width": 97}),
        key,
    }
    assert len(others) == 5


def test_result_comes_back_with_its_archive(tmp_path: Path) -> None:
    assert find_result(tmp_path, KEY) is None
    result = put_archive(tmp_path)
    assert find_result(tmp_path, KEY) == result
    link_archive(tmp_path, KEY, tmp_path / "out" / "c" / "clip.zip")
    assert count_entries(tmp_path / "out" / "c" / "clip.zip") == 3
    assert (tmp_path / "out" / "c" / "clip.zip").samefile(stored_archive_path(tmp_path, KEY))


def test_a_defect_is_remembered_without_an_archive(tmp_path: Path) -> None:
    result = StoredResult(
        num_frames=0,
        num_missing=0,
        num_entries=0,
        num_bytes=0,
        num_unsupported=0,
        defect="damaged video",
    )
    put_result(tmp_path, KEY, result)
    assert find_result(tmp_path, KEY) == result


def test_linking_replaces_what_is_there_and_copies_where_it_cannot_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_archive(tmp_path)

    def no_link(source: Path, target: Path) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", no_link)
    destination = tmp_path / "clip.zip"
    destination.write_bytes(b"old")
    link_archive(tmp_path, KEY, destination)
    assert destination.read_bytes() == stored_archive_path(tmp_path, KEY).read_bytes()
    assert not destination.samefile(stored_archive_path(tmp_path, KEY))


def test_stored_archives_are_read_only(tmp_path: Path) -> None:
    put_archive(tmp_path)
    link_archive(tmp_path, KEY, tmp_path / "clip.zip")
    assert (tmp_path / "clip.zip").stat().st_mode & 0o222 == 0


def test_an_archive_changed_behind_the_stores_back_is_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = put_archive(tmp_path)
    archive = stored_archive_path(tmp_path, KEY)
    archive.chmod(0o644)
    whole = archive.read_bytes()
    for damaged in (whole[:-30], whole + b"more", b""):
        archive.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            assert find_result(tmp_path, KEY) is None
        assert str(archive) in caplog.text
    archive.unlink()
    assert find_result(tmp_path, KEY) is None
    assert put_archive(tmp_path) == result
    assert find_result(tmp_path, KEY) == result


def test_an_unreadable_record_is_no_result(tmp_path: Path) -> None:
    put_archive(tmp_path)
    stored_archive_path(tmp_path, KEY).with_suffix(".json").write_text('{"num_frames": ')
    assert find_result(tmp_path, KEY) is None


def test_a_record_that_does_not_fit_its_archive_is_refused(tmp_path: Path) -> None:
    result = put_archive(tmp_path)
    with pytest.raises(ArchiveError, match="stored"):
        put_result(tmp_path, KEY, replace(result, num_entries=4))


def test_the_same_video_computed_elsewhere_at_the_same_time_is_kept(tmp_path: Path) -> None:
    result = put_archive(tmp_path)
    put_result(tmp_path, KEY, replace(result, num_bytes=result.num_bytes + 9))
    assert find_result(tmp_path, KEY) == result


def test_sweep_removes_old_temporary_files_only(tmp_path: Path) -> None:
    put_archive(tmp_path)
    folder = stored_archive_path(tmp_path, KEY).parent
    old, young = folder / ".a.zip.00.tmp", folder / ".b.zip.00.tmp"
    for path in (old, young):
        path.touch()
    two_days_ago = time.time() - 2 * store._STALE_SECONDS
    os.utime(old, (two_days_ago, two_days_ago))
    sweep_store(tmp_path)
    assert not old.exists() and young.exists()
    assert find_result(tmp_path, KEY) is not None
