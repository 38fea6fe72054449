"""The look program: moments of one video and of a folder, and what cannot be read."""

import shutil
from pathlib import Path

import cv2
import pytest
from videos import write_pan

from stages import look
from tsn.streams.moments import evenly


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(10, 1, [5]), (10, 2, [2, 7]), (9, 3, [1, 4, 7]), (2, 4, [0, 1]), (1, 3, [0])],
)
def test_evenly_by_hand(length: int, count: int, expected: list[int]) -> None:
    assert evenly(length, count) == expected


def test_a_video_and_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    videos = tmp_path / "videos"
    for name in ("a/1.avi", "b/1.avi", "c/1.avi"):
        write_pan(videos / name, num_frames=6, dx=2)
    (videos / "b/1.avi").write_bytes(b"broken")
    out = tmp_path / "look.png"
    heights = []
    for path, rows in ((videos / "a/1.avi", 2), (videos, 3)):
        look.main(look.Options(dataset="synthetic", videos=path, rows=rows, out=out))
        heights.append(cv2.imread(str(out)).shape[0])
    assert heights[0] == heights[1]  # two moments of one; one each of the two that can be read
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("frame 2: flow ") and lines[1].startswith("frame 4: flow ")
    assert sum("left out" in line and "b/1.avi" in line for line in caplog.messages) == 1
    assert [line.split()[0] for line in lines[-3:]] == ["a", "c", "look:"]


def test_a_folder_of_broken_videos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.avi").write_bytes(b"broken")
    with pytest.raises(ValueError, match="no video with two frames"):
        look.main(
            look.Options(dataset="synthetic", videos=tmp_path, rows=2, out=tmp_path / "look.png")
        )
    assert not (tmp_path / "look.png").exists()


def test_a_recipe_of_frames_alone_has_no_flow_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pan(tmp_path / "a.avi", num_frames=6, dx=2)
    (tmp_path / "recipes").mkdir()
    recipe = "extract: {rgb: {width: 96, height: 64, jpeg_quality: 90}}"
    (tmp_path / "recipes/still.yaml").write_text(recipe)
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "look.png"
    look.main(look.Options(dataset="still", videos=tmp_path / "a.avi", rows=2, out=out))
    sheet = cv2.imread(str(out))
    assert sheet.shape[1] == 2 * (2 * 96 + 8)  # a frame and a difference, enlarged, framed
