"""Frames from videos: the same ones OpenCV decodes, and refusals for everything damaged."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from videos import write_video

from tsn.streams.contents import VideoError
from tsn.streams.video import Frame, FrameReader, glance, read_frames


def smooth_frames(count: int, width: int, height: int) -> list[Frame]:
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return [np.asarray(cv2.GaussianBlur(frame, (0, 0), 3.0), dtype=np.uint8) for frame in noise]


def opencv_frames(path: Path) -> npt.NDArray[np.uint8]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return np.stack(frames)


def frame_chunks(data: bytes) -> list[int]:
    """Offsets of the frames' chunks in an AVI."""
    start, end = data.index(b"movi"), data.index(b"idx1")
    offsets = []
    while (start := data.find(b"00dc", start, end)) >= 0:
        offsets.append(start)
        start += 8
    return offsets


def overwrite_chunk(data: bytearray, offset: int, content: bytes) -> None:
    length = int.from_bytes(data[offset + 4 : offset + 8], "little")
    data[offset + 8 : offset + 8 + length] = content.ljust(length, b"\x7f")


@pytest.mark.parametrize(
    ("width", "codec", "suffix"),
    [
        (64, "mp4v", "mp4"),
        (64, "XVID", "avi"),
        (100, "MJPG", "avi"),
        # decord returns 4, 4, 6 and 96 "channels" at these widths
        (96, "mp4v", "mp4"),
        (144, "MJPG", "avi"),
        (32, "XVID", "avi"),
        (2, "MJPG", "avi"),
    ],
)
def test_frames_equal_opencvs(tmp_path: Path, width: int, codec: str, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    write_video(path, smooth_frames(5, width, 48), codec)
    np.testing.assert_array_equal(list(read_frames(path, width, 48)), opencv_frames(path))


def test_frames_are_resized_to_width_by_height(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    left_blue = np.zeros((48, 64, 3), dtype=np.uint8)
    left_blue[:, :32, 0] = 255
    write_video(path, [left_blue] * 3, "MJPG")
    frames = list(read_frames(path, 32, 20))
    assert [frame.shape for frame in frames] == [(20, 32, 3)] * 3
    assert frames[0][:, :14, 0].min() > 230 and frames[0][:, :14, 2].max() < 20
    assert frames[0][:, 18:].max() < 20


def test_equal_frames_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "still.avi"
    write_video(path, [np.full((48, 64, 3), 90, dtype=np.uint8)] * 12, "MJPG")
    assert len(list(read_frames(path, 64, 48))) == 12


def test_frames_that_the_header_claims_and_nobody_can_decode_are_not_repeated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lying.avi"
    write_video(path, smooth_frames(20, 64, 48), "XVID")
    data = bytearray(path.read_bytes())
    not_coded = b"\x00\x00\x01\xb6" + int("0101000011001111", 2).to_bytes(2, "big")
    for offset in frame_chunks(data)[-4:]:
        overwrite_chunk(data, offset, not_coded)
    path.write_bytes(data)
    expected = opencv_frames(path)
    assert 0 < len(expected) < 20
    reader = FrameReader(path)
    np.testing.assert_array_equal(list(reader), expected)
    assert (reader.num_frames, reader.num_missing) == (len(expected), 20 - len(expected))


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.avi"
    write_video(path, smooth_frames(20, 64, 48), "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(
        VideoError, match=r"cut\.avi: the file is cut off: .* of 20 frames"
    ) as error:
        list(read_frames(path, 64, 48))
    assert str(tmp_path) not in error.value.reason


def test_a_file_that_lost_only_its_index_is_read(tmp_path: Path) -> None:
    path = tmp_path / "no_index.avi"
    write_video(path, smooth_frames(20, 64, 48), "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"idx1")])
    assert len(list(read_frames(path, 64, 48))) == 20


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.avi"
    write_video(path, smooth_frames(20, 64, 48), "MJPG")
    data = bytearray(path.read_bytes())
    overwrite_chunk(data, frame_chunks(data)[10], b"")
    path.write_bytes(data)
    with pytest.raises(VideoError, match="damaged"):
        list(read_frames(path, 64, 48))


@pytest.mark.parametrize(
    "content", [b"", b"some text", b"RIFF\x00\x00\x00\x00AVI LIST", b"\xff" * 99]
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "v_No (1) [x]&.avi"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"v_No \(1\) \[x\]&\.avi"):
        list(read_frames(path, 64, 48))


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n  "])
@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("a.avi", b"ffconcat version 1.0\nfile real.avi\nduration 0.8\n"),
        ("a.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nreal.avi\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_text_that_names_other_videos_is_refused(
    tmp_path: Path, name: str, listed: bytes, before: bytes
) -> None:
    write_video(tmp_path / "real.avi", smooth_frames(20, 64, 48), "MJPG")
    path = tmp_path / name
    path.write_bytes(before + listed)
    with pytest.raises(VideoError, match="a list of other files, not a video"):
        list(read_frames(path, 64, 48))
    with pytest.raises(VideoError, match="a list of other files"):
        glance(path, 0.5)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.avi"):
        list(read_frames(tmp_path / "nowhere.avi", 64, 48))


def test_reading_a_video_first_leaves_torch_its_own_blas(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    write_video(path, smooth_frames(3, 64, 48), "MJPG")
    program = (
        "import sys; from pathlib import Path; from tsn.streams.video import read_frames;"
        "assert len(list(read_frames(Path(sys.argv[1]), 64, 48))) == 3;"
        "assert 'nvblas' not in Path('/proc/self/maps').read_text();"
        "import torch; print(float((torch.ones(300, 300) @ torch.ones(300, 300)).sum()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "27000000.0"), done.stderr


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_hole_in_the_file_is_counted_and_a_large_one_refused(
    tmp_path: Path, share: float
) -> None:
    path = tmp_path / "hole.avi"
    write_video(path, smooth_frames(40, 64, 48), "MJPG")
    data = bytearray(path.read_bytes())
    hole = int(share * len(data))
    data[len(data) // 3 : len(data) // 3 + hole] = bytes(hole)
    path.write_bytes(data)
    reader = FrameReader(path)
    if share < 0.25:
        assert len(list(reader)) == reader.num_frames < 40
        assert reader.num_frames + reader.num_missing == 40
    else:
        with pytest.raises(VideoError, match=r"only \d+ of 40 frames can be decoded"):
            list(reader)


def test_a_box_of_an_impossible_size_at_the_end_is_borne(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    write_video(path, smooth_frames(6, 64, 48), "mp4v")
    with path.open("ab") as file:
        file.write(b"\0\0\0\x01junk" + b"\xff" * 8)
    assert len(list(read_frames(path, 64, 48))) == 6
