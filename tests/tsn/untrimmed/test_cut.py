"""Clips cut out of real videos: which frames they have, and what is left out."""

import csv
from pathlib import Path

import numpy as np
import pytest
from encoded import KINDS, encode, encode_kind
from videos import vivid_frames

from tsn.sources.csv_file import CsvConfig, listed_videos
from tsn.sources.folder import SourceError
from tsn.streams.limits import DEFAULT_LIMITS
from tsn.streams.video import FrameReader
from tsn.untrimmed.annotations import AnnotatedVideo, Annotation
from tsn.untrimmed.cut import Clip, annotated_clips, cut_clips, write_clip_list

SIDES = {"training": "train", "validation": "test"}


def annotated(subset: str, *rows: tuple[str, float, float]) -> AnnotatedVideo:
    return AnnotatedVideo(
        subset=subset,
        annotations=tuple(Annotation(label=name, start=a, end=b) for name, a, b in rows),
    )


def cut(clips: list[Clip], out: Path) -> dict[str, str]:
    return {clip.path: why for clip, why in cut_clips(clips, out, 1, DEFAULT_LIMITS)}


def test_a_clip_has_the_frames_of_its_seconds_in_every_container(tmp_path: Path) -> None:
    endings = ("avi", "mp4", "mkv", "webm", "ts", "mpg")
    videos = {}
    for ending in endings:
        encode_kind(tmp_path / "long", ending, count=75).rename(
            tmp_path / f"long/{ending}.{ending}"
        )
        videos[ending] = annotated("training", ("run", 1.0, 2.0))
    clips, missing = annotated_clips(tmp_path / "long", videos, {"training": "train"})
    assert missing == []
    assert set(cut(clips, tmp_path / "out").values()) == {""}
    for clip in clips:
        whole, found = (list(FrameReader(p)) for p in (clip.file, tmp_path / "out" / clip.path))
        assert len(found) == 25, clip
        # Nearer to the frames of the second second than to their neighbours
        for shift in (-1, 1):
            errors = [
                np.abs(whole[25 + n + k].astype(int) - found[n]).mean()
                for k in (0, shift)
                for n in range(25)
            ]
            assert np.mean(errors[:25]) < np.mean(errors[25:]) / 3, clip
    assert set(endings) <= KINDS.keys()


def test_the_list_is_one_that_the_csv_source_takes(tmp_path: Path) -> None:
    for name in ("v_a", "b"):
        encode_kind(tmp_path / "long", "mp4", count=50).rename(tmp_path / f"long/{name}.mp4")
    videos = {
        "a": annotated("training", ("run", 0, 1), ("walk", 1, 2), ("run", 1, 1.5)),
        "b": annotated("validation", ("walk", 0.5, 1)),
        "c": annotated("validation", ("walk", 0.5, 1)),
        "d": annotated("testing", ("walk", 0.5, 1)),
        "e": annotated("training"),
    }
    clips, missing = annotated_clips(tmp_path / "long", videos, SIDES)
    assert missing == ["c"]
    assert set(cut(clips, tmp_path / "out").values()) == {""}
    path = write_clip_list(clips, tmp_path / "out")
    ids, left_out = listed_videos(CsvConfig(file=str(path), root=str(path.parent)))
    assert left_out == {}
    assert {video: (row.group, row.split) for video, row in ids.items()} == {
        "run/a_001_0-1.mp4": ("a", "train"),
        "run/a_003_1-1.5.mp4": ("a", "train"),
        "walk/a_002_1-2.mp4": ("a", "train"),
        "walk/b_001_0.5-1.mp4": ("b", "test"),
    }


def test_a_clip_that_is_there_is_not_cut_again(tmp_path: Path) -> None:
    encode_kind(tmp_path / "long", "mp4", count=50).rename(tmp_path / "long/a.mp4")
    videos = {"a": annotated("training", ("run", 0, 1), ("walk", 1, 2))}
    clips, _ = annotated_clips(tmp_path / "long", videos, {"training": "train"})
    (tmp_path / "out/run").mkdir(parents=True)
    (tmp_path / "out/run/a_001_0-1.mp4").write_bytes(b"as it was")
    assert cut(clips, tmp_path / "out") == {"run/a_001_0-1.mp4": "", "walk/a_002_1-2.mp4": ""}
    assert (tmp_path / "out/run/a_001_0-1.mp4").read_bytes() == b"as it was"
    videos = {"a": annotated("training", ("run", 0, 0.5), ("walk", 1, 2))}  # corrected
    clips, _ = annotated_clips(tmp_path / "long", videos, {"training": "train"})
    assert set(cut(clips, tmp_path / "out")) == {"run/a_001_0-0.5.mp4", "walk/a_002_1-2.mp4"}


def test_two_files_of_one_video_are_refused_and_its_companions_are_passed_over(
    tmp_path: Path,
) -> None:
    for name in ("a.description", "a.ts", "a.srt", "v_b.M4V", "v_b.JPG", "c.srt", "c.description"):
        (tmp_path / name).touch()
    videos = {name: annotated("training", ("run", 0, 1)) for name in "abc"}
    clips, missing = annotated_clips(tmp_path, videos, {"training": "train"})
    assert [clip.file.name for clip in clips] == ["a.ts", "v_b.M4V"]
    assert missing == ["c"]
    (tmp_path / "deep").mkdir()
    for name in ("v_a.mkv", "d.mp4", "d.mkv"):
        (tmp_path / "deep" / name).touch()
    videos["d"] = annotated("validation", ("run", 0, 1))  # of a subset that nobody asked for
    with pytest.raises(SourceError, match=r"a\.ts and .*v_a\.mkv are both video a"):
        annotated_clips(tmp_path, videos, {"training": "train"})


def test_what_cannot_be_cut_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    encode_kind(tmp_path / "long", "mp4", count=50).rename(tmp_path / "long/short.mp4")
    (tmp_path / "long/text.mp4").write_text("no video")
    videos = {
        "short": annotated("training", ("run", 8, 9)),
        "text": annotated("training", ("run", 0, 1)),
    }
    clips, _ = annotated_clips(tmp_path / "long", videos, {"training": "train"})
    found = cut(clips, tmp_path / "out")
    assert found["run/short_001_8-9.mp4"] == "the video has no frame there"
    assert found["run/text_001_0-1.mp4"].startswith("damaged")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_odd_sides_lose_a_row_and_a_column(tmp_path: Path) -> None:
    frames = vivid_frames(25, 65, 49)
    encode(tmp_path / "a.mkv", frames, "matroska", "ffv1")
    clips, _ = annotated_clips(
        tmp_path, {"a": annotated("training", ("run", 0, 1))}, {"training": "train"}
    )
    assert cut(clips, tmp_path / "out") == {"run/a_001_0-1.mp4": ""}
    (first, *_) = FrameReader(tmp_path / "out/run/a_001_0-1.mp4")
    assert first.shape == (48, 64, 3)
    assert np.abs(first.astype(int) - frames[0][:48, :64]).mean() < 6


def test_no_video_and_no_subset_are_refused(tmp_path: Path) -> None:
    videos = {"a": annotated("training", ("run", 0, 1))}
    with pytest.raises(SourceError, match="none of the 1 videos that have annotations"):
        annotated_clips(tmp_path, videos, {"training": "train"})
    with pytest.raises(SourceError, match="no subset validation; they have training"):
        annotated_clips(tmp_path, videos, SIDES)
    with pytest.raises(SourceError, match="no such folder"):
        annotated_clips(tmp_path / "none", videos, {"training": "train"})


def test_the_list_is_sorted_and_names_its_columns(tmp_path: Path) -> None:
    encode_kind(tmp_path / "long", "mp4", count=5).rename(tmp_path / "long/a.mp4")
    videos = {"a": annotated("training", ("run", 0, 1), ("jump", 0, 1))}
    clips, _ = annotated_clips(tmp_path / "long", videos, {"training": "train"})
    with write_clip_list(clips, tmp_path).open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "label", "group", "split"],
            ["jump/a_002_0-1.mp4", "jump", "a", "train"],
            ["run/a_001_0-1.mp4", "run", "a", "train"],
        ]
