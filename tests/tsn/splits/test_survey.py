"""The survey of real videos: facts, fingerprints, the cache, and what cannot be read."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from videos import digests, vivid_frames, write_video

from tsn.splits import survey as survey_module
from tsn.splits.survey import Facts, difference_hash, survey, write_facts


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    (folder / "a").mkdir(parents=True)
    write_video(folder / "a/1.avi", vivid_frames(20, 64, 48), "MJPG")
    (folder / "a/copy.avi").write_bytes((folder / "a/1.avi").read_bytes())
    write_video(folder / "a/narrow.mp4", vivid_frames(10, 96, 48), "mp4v")
    (folder / "a/broken.avi").write_bytes(b"no video")
    return folder


def test_facts_of_real_videos(tmp_path: Path, videos: Path) -> None:
    facts = dict(survey(videos, digests(videos), tmp_path / "cache", workers=2))
    seen = {
        video: (row.width, row.height, row.counted, row.frames, row.frames_per_second)
        for video, row in facts.items()
    }
    assert seen == {
        "a/1.avi": (64, 48, 20, 20, 25.0),
        "a/copy.avi": (64, 48, 20, 20, 25.0),
        "a/narrow.mp4": (96, 48, 10, 10, 25.0),
        "a/broken.avi": (0, 0, 0, 0, 0.0),
    }
    assert [video for video, row in facts.items() if row.defect] == ["a/broken.avi"]
    assert facts["a/1.avi"].seconds == 0.8 and facts["a/broken.avi"].seconds == 0.0
    assert facts["a/1.avi"].hashes == facts["a/copy.avi"].hashes
    frames = vivid_frames(20, 64, 48)
    for digest, index in zip(facts["a/1.avi"].hashes, (2, 7, 12), strict=True):
        assert different_bits(digest, difference_hash(frames[index])) <= 4
    write_facts(tmp_path / "survey.csv", facts)
    lines = (tmp_path / "survey.csv").read_text().splitlines()
    assert lines[0] == "video,width,height,frames_per_second,counted,frames,seconds,decoder,defect"
    assert lines[1] == "a/1.avi,64,48,25.0,20,20,0.8,decord,"
    assert lines[2].startswith("a/broken.avi,0,0,0.0,0,0,0.0,,not a video file")


@pytest.mark.parametrize("counted", [24, 13])
def test_a_header_that_lies_is_found_out(tmp_path: Path, counted: int) -> None:
    (tmp_path / "v").mkdir()
    write_video(tmp_path / "v/a.avi", vivid_frames(20, 64, 48), "MJPG")
    data = bytearray((tmp_path / "v/a.avi").read_bytes())
    length = data.index(b"strh") + 8 + 32  # where the stream's header has its frames
    assert data[length : length + 4] == (20).to_bytes(4, "little")
    data[length : length + 4] = counted.to_bytes(4, "little")
    (tmp_path / "v/a.avi").write_bytes(data)
    facts = dict(survey(tmp_path / "v", digests(tmp_path / "v"), tmp_path / "cache", workers=1))
    row = facts["a.avi"]
    assert (row.counted, row.frames, row.defect, len(row.hashes)) == (counted, 20, "", 3)
    frames = vivid_frames(20, 64, 48)
    positions = (3, 9, 15) if counted == 24 else (2, 7, 12)  # of the most that may come
    for digest, index in zip(row.hashes, positions, strict=True):
        assert different_bits(digest, difference_hash(frames[index])) <= 4


def test_a_video_of_one_frame_has_a_whole_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    write_video(tmp_path / "v/a.avi", vivid_frames(1, 64, 48), "MJPG")
    facts = dict(survey(tmp_path / "v", digests(tmp_path / "v"), tmp_path / "cache", workers=1))
    assert len(facts["a.avi"].hashes) == 3 and len(set(facts["a.avi"].hashes)) == 1


def test_a_file_cut_off_has_a_defect(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    write_video(tmp_path / "v/a.avi", vivid_frames(20, 64, 48), "MJPG")
    os.truncate(tmp_path / "v/a.avi", (tmp_path / "v/a.avi").stat().st_size // 2)
    facts = dict(survey(tmp_path / "v", digests(tmp_path / "v"), tmp_path / "cache", workers=1))
    assert facts["a.avi"].defect.startswith("the file is cut off")


def different_bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_a_video_is_looked_at_once_whatever_it_is_called(tmp_path: Path, videos: Path) -> None:
    first = dict(survey(videos, digests(videos), tmp_path / "cache", workers=1))
    known = digests(videos)
    for path in videos.rglob("*.*"):
        os.truncate(path, 0)
    renamed = {f"b/{video}": digest for video, digest in known.items()}
    again = dict(survey(videos, renamed, tmp_path / "cache", workers=1))
    assert again == {f"b/{video}": row for video, row in first.items()}
    for cached in (tmp_path / "cache").rglob("*.json"):  # of another version of this program
        cached.write_text(cached.read_text().replace('"version": "4', '"version": "0'))
    anew = dict(survey(videos, known, tmp_path / "cache", workers=1))
    assert {row.defect for row in anew.values()} == {"the file is empty (0 bytes)"}


def test_a_hash_bears_scaling_and_encoding_and_tells_pictures_apart() -> None:
    one, other = vivid_frames(2, 320, 240)
    digest = difference_hash(one)
    assert len(digest) == 16
    smaller = cv2.resize(one, (160, 120), interpolation=cv2.INTER_AREA)
    encoded = cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1)
    for copy in (smaller, encoded):
        assert different_bits(digest, difference_hash(np.asarray(copy, np.uint8))) <= 3
    assert different_bits(digest, difference_hash(other)) > 16
    assert difference_hash(np.full((48, 64, 3), 77, np.uint8)) == ""


def test_nothing_known_is_no_length() -> None:
    none = Facts(counted=9, frames=9)
    assert none.seconds == 0.0


def test_an_unexpected_error_is_one_videos_defect(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says more of this machine than of the video, and is not kept."""
    read = survey_module.read_video

    def fail(path: Path, *arguments: Any) -> Any:
        if path.name == "narrow.mp4":
            raise StopIteration("nobody thought of it")
        return read(path, *arguments)

    def in_this_process(function: Any, tasks: Any, *_: Any) -> Any:
        return ((task, function(task, "cpu")) for task in tasks)

    monkeypatch.setattr(survey_module, "read_video", fail)
    monkeypatch.setattr(survey_module, "run_tasks", in_this_process)
    facts = dict(survey(videos, digests(videos), tmp_path / "cache", workers=1))
    assert facts["a/narrow.mp4"].defect == "unexpected StopIteration: nobody thought of it"
    assert facts["a/1.avi"].defect == ""
    monkeypatch.setattr(survey_module, "read_video", read)
    again = dict(survey(videos, digests(videos), tmp_path / "cache", workers=1))
    assert again["a/narrow.mp4"].frames == 10
