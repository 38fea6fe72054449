"""Annotations as they are published, and those that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tsn.sources.folder import SourceError, SourceMissingError
from tsn.untrimmed.annotations import (
    AnnotatedVideo,
    Annotation,
    annotated_files,
    find_video,
    read_annotations,
)

# As in activity_net.v1-3.min.json, shortened.
ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [{"nodeName": "Root", "nodeId": 0, "parentName": None, "parentId": None}],
    "database": {
        "6rD9dAUGYCg": {
            "duration": 112.08,
            "subset": "training",
            "resolution": "320x240",
            "url": "https://www.youtube.com/watch?v=6rD9dAUGYCg",
            "annotations": [
                {"segment": [3.86, 28.5], "label": "Doing step aerobics"},
                {"segment": [40, 41], "label": "Running / jumping"},
            ],
        },
        "uqiMw7tQ1Cc": {"duration": 55.1, "subset": "testing", "annotations": []},
    },
}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_activitynet(tmp_path: Path) -> None:
    found = read_annotations(write(tmp_path / "a.json", ACTIVITYNET))
    assert found == {
        "6rD9dAUGYCg": AnnotatedVideo(
            subset="training",
            annotations=(
                Annotation(label="Doing step aerobics", start=3.86, end=28.5),
                Annotation(label="Running - jumping", start=40, end=41),
            ),
        ),
        "uqiMw7tQ1Cc": AnnotatedVideo(subset="testing", annotations=()),
    }


def test_thumos_in_that_form_writes_numbers_as_text(tmp_path: Path) -> None:
    rows = [{"label": "CliffDiving", "segment": ["1.5", "2.5"]}]
    rows.append({"label": "Ambiguous", "segment": ["5", "6"]})
    content = {"database": {"video_test_0000004": {"subset": "Test", "annotations": rows}}}
    (video,) = read_annotations(write(tmp_path / "t.json", content)).values()
    assert video.subset == "test"
    assert video.annotations == (Annotation(label="CliffDiving", start=1.5, end=2.5),)


def test_thumos_texts(tmp_path: Path) -> None:
    (tmp_path / "Billiards_val.txt").write_text(
        "video_validation_0000051  1.5 2.9\nvideo_validation_0000051  12.0 13.1\n\n"
    )
    (tmp_path / "Diving_val.txt").write_text("video_validation_0000051 3 4\n")
    (tmp_path / "Diving_test.txt").write_text("video_test_0000004 0.2 1\n")
    (tmp_path / "Ambiguous_val.txt").write_text("video_validation_0000007 8 9\n")
    (tmp_path / "readme.txt").write_text("how these were made\n")
    found = read_annotations(tmp_path)
    assert {video: row.subset for video, row in found.items()} == {
        "video_validation_0000051": "validation",
        "video_validation_0000007": "validation",
        "video_test_0000004": "test",
    }
    rows = found["video_validation_0000051"].annotations
    assert [(row.label, row.start) for row in rows] == [
        ("Billiards", 1.5),
        ("Billiards", 12.0),
        ("Diving", 3.0),
    ]
    assert found["video_validation_0000007"].annotations == ()


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        [{"label": "Run"}],
        [{"label": "", "segment": [0, 1]}],
        [{"label": "..", "segment": [0, 1]}],
        [{"label": "Run", "segment": [2, 1]}],
        [{"label": "Run", "segment": [-1, 1]}],
        [{"label": "Run", "segment": [0, "nan"]}],
        [{"label": "Run", "segment": [0]}],
        ["Run"],
    ],
)
def test_a_video_that_cannot_be_meant_is_named(tmp_path: Path, annotations: Any) -> None:
    content = {"database": {"abc": {"subset": "training", "annotations": annotations}}}
    with pytest.raises(SourceError, match=r"a\.json: abc: expected a subset, and annotations of"):
        read_annotations(write(tmp_path / "a.json", content))


def test_what_is_no_annotation_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="no such annotations"):
        read_annotations(tmp_path / "none.json")
    for content in ([], {}, {"database": {}}):
        with pytest.raises(SourceError, match="expected an object `database`"):
            read_annotations(write(tmp_path / "a.json", content))
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(SourceError, match="not JSON"):
        read_annotations(tmp_path / "a.json")
    with pytest.raises(SourceError, match="no <class>_val"):
        read_annotations(tmp_path)
    (tmp_path / "Diving_val.txt").write_text("video_1 3 4\nvideo_1 9\n")
    with pytest.raises(SourceError, match=r"Diving_val\.txt line 2: expected `<video> start end`"):
        read_annotations(tmp_path)


def test_a_file_is_found_by_its_id() -> None:
    videos = {"abc": AnnotatedVideo(subset="test", annotations=())}
    assert [find_video(name, videos) for name in ("abc", "v_abc", "w_abc")] == ["abc", "abc", None]


def test_two_files_of_one_video_are_refused() -> None:
    videos = {name: AnnotatedVideo(subset=name, annotations=()) for name in ("abc", "de", "f")}
    files = [Path("in/v_abc.mkv"), Path("other.mp4"), Path("in/de.mp4")]
    assert annotated_files(files, videos) == {files[0]: videos["abc"], files[2]: videos["de"]}
    with pytest.raises(SourceError, match=r"in/v_abc\.mkv and abc\.mp4 are both video abc of the"):
        annotated_files([*files, Path("abc.mp4")], videos)
