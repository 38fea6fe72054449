"""Which files are videos, which reader a healthy one needs, and what others are refused as."""

import errno
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.error import FFmpegError
from encoded import HEIGHT, KINDS, WIDTH, encode, encode_kind
from videos import vivid_frames, write_video

from tsn.streams.contents import LimitError, VideoError, inspect, refuse_other_causes
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.video import DECORD, PYAV, Frame, FrameReader, glance, read_video


def frames_of(path: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[list[Frame], FrameReader]:
    return read_video(path, lambda reader: (list(reader), reader), limits)


def refusal(path: Path, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(VideoError) as error:
        frames_of(path, limits)
    with pytest.raises(VideoError):
        glance(path, 0.5, limits)
    return error.value.reason


def is_like(one: Frame, other: Frame) -> bool:
    """Whether two frames show the same spots, however they were encoded."""
    small = [cv2.resize(frame, (16, 12), interpolation=cv2.INTER_AREA) for frame in (one, other)]
    return float(cv2.absdiff(*small).mean()) < 16


@pytest.mark.parametrize("ending", KINDS)
def test_every_frame_of_every_container_is_read(tmp_path: Path, ending: str) -> None:
    path = encode_kind(tmp_path, ending)
    found, reader = frames_of(path)
    assert len(found) == reader.num_frames == 30
    assert reader.num_missing == 0 and reader.decoder in (DECORD, PYAV)
    for frame, expected in zip(found, vivid_frames(30, WIDTH, HEIGHT), strict=True):
        assert is_like(frame, expected)
    assert is_like(glance(path, 0.5), found[15])


def test_a_stream_that_begins_with_a_long_group_is_read_from_its_first_frame(
    tmp_path: Path,
) -> None:
    """decord seeks to the first key frame that it has seen twice, and loses what is before."""
    path = encode_kind(tmp_path, "ts", 50)
    found, reader = frames_of(path)
    assert (len(found), reader.decoder) == (50, PYAV)


def test_a_file_that_was_written_live_is_read(tmp_path: Path) -> None:
    frames = vivid_frames(20, WIDTH, HEIGHT)
    path = encode(tmp_path / "a.webm", frames, "webm", "libvpx", {"live": "1"})
    found, reader = frames_of(path)
    assert (len(found), reader.num_counted) == (20, 20)


def test_a_fragmented_mp4_is_read(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"}
    path = encode(tmp_path / "a.mp4", vivid_frames(20, WIDTH, HEIGHT), "mp4", "libx264", options)
    assert len(frames_of(path)[0]) == 20


def test_frames_that_an_edit_list_cuts_are_not_missed(tmp_path: Path) -> None:
    """As `ffmpeg -ss ... -c copy` cuts: the file has them, and does not show them."""
    whole = encode_kind(tmp_path, "mp4", 30)
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as output:
        stream = source.streams.video[0]
        target = output.add_stream_from_template(stream)
        start = 10 * int(1 / (25 * stream.time_base))
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = target
                output.mux(packet)
    contents = inspect(cut, DEFAULT_LIMITS)
    assert contents.shown < 30
    found, reader = frames_of(cut)
    assert len(found) == contents.shown == contents.counted
    assert reader.num_missing == 0


@pytest.mark.parametrize("name", ["12:30:45.mp4", "im%03d.mp4", "-o.mp4", "a b'ü\n#.mp4"])
def test_a_name_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    encode_kind(tmp_path, "mp4", 12).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(Path(name))[0]) == 12


def test_a_name_that_looks_like_an_address_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http:").mkdir()
    encode_kind(tmp_path, "avi", 12).rename(tmp_path / "http:/a.avi")
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(Path("http:/a.avi"))[0]) == 12


SRT = "1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\nThere\n"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("readme.txt", "What is in this folder.\n" * 80, "it holds text"),
        ("a.avi", "hello world\n", "it holds text"),
        ("a.mp4", "Größe: 剣道\n" * 40, "it holds text"),
        ("a.srt", SRT, "it holds text"),
        ("a.vtt", f"WEBVTT\n\n{SRT}", "it holds text"),
        ("a.m3u8", "#EXTM3U\nreal.avi\n", "a list of other files"),
        ("a.ffconcat", "ffconcat version 1.0\nfile real.avi\n", "a list of other files"),
    ],
)
def test_text_is_refused_as_text(tmp_path: Path, name: str, text: str, reason: str) -> None:
    encode_kind(tmp_path, "avi").rename(tmp_path / "real.avi")
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert reason in refusal(tmp_path / name)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "webp", "tiff"])
def test_a_still_is_refused_as_a_still(tmp_path: Path, ending: str) -> None:
    cv2.imwrite(str(tmp_path / f"a.{ending}"), vivid_frames(1, WIDTH, HEIGHT)[0])
    (tmp_path / f"a.{ending}").rename(tmp_path / "a.mp4")
    assert "it is a still image" in refusal(tmp_path / "a.mp4")


def test_a_sound_is_refused_as_one_without_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 16000
        output.mux(stream.encode(silence))
        output.mux(stream.encode(None))
    assert "it has no pictures" in refusal(tmp_path / "a.mp4")


def test_a_codec_whose_decoder_is_unsafe_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("magicyuv", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        frame = av.VideoFrame.from_ndarray(vivid_frames(1, WIDTH, HEIGHT)[0], format="bgr24")
        output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    assert "CVE-2026-8461" in refusal(path)


@pytest.mark.parametrize("count", [1 << 30, 2_000_000_000, 100_000])
def test_a_count_beyond_the_files_bytes_is_refused_before_a_decoder_sees_it(
    tmp_path: Path, count: int
) -> None:
    path = write_video(tmp_path / "a.avi", vivid_frames(8, 64, 48), "MJPG")
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 16), (b"strh", 32)):
        struct.pack_into("<I", data, data.index(chunk) + 8 + offset, count)
    path.write_bytes(data)
    assert f"its header counts {count} frames, more than" in refusal(path)


def test_limits_refuse_by_name(tmp_path: Path) -> None:
    path = encode_kind(tmp_path, "avi", 12)
    assert "176x144 pixels; at most 9 are read" in refusal(path, Limits(pixels=9))
    assert "more than 11 frames" in refusal(path, Limits(frames=11))
    assert len(frames_of(path, Limits(frames=12, pixels=WIDTH * HEIGHT))[0]) == 12
    with pytest.raises(ValueError, match="frames is above 0"):
        Limits(frames=0)


def test_an_error_of_the_memory_or_the_disk_says_nothing_of_the_video(tmp_path: Path) -> None:
    """FFmpeg tells damage as an input error, too: whether it is one, the disk says."""
    path = encode_kind(tmp_path, "avi", 6)
    failed = FFmpegError(errno.EIO, "Input/output error")
    refuse_other_causes(path, failed)
    with pytest.raises(LimitError, match="more memory than its reader may have"):
        refuse_other_causes(path, FFmpegError(errno.ENOMEM, "Cannot allocate memory"))
    path.unlink()
    with pytest.raises(OSError):
        refuse_other_causes(path, failed)
