"""Videos read in processes of their own: as in this one, and a bad one costs nobody else."""

from pathlib import Path

import numpy as np
import pytest
from encoded import encode_kind
from stream_configs import FRAMES
from videos import vivid_frames, write_video

from tsn.modality import modality
from tsn.recogniser.sparse_read import Need, read_sparsely
from tsn.recogniser.video_readers import VideoReaders
from tsn.streams.contents import VideoError
from tsn.streams.limits import Limits
from tsn.streams.table import STREAMS

NEED = Need(modality=modality("rgb"), stream=STREAMS["frames"], config=FRAMES, snippets=3)


def test_a_video_is_read_as_in_this_process(tmp_path: Path) -> None:
    path = encode_kind(tmp_path, "mp4", 12)
    found, expected = VideoReaders().read(path, [NEED]), read_sparsely(path, [NEED])
    assert found.num_frames == expected.num_frames == 12
    assert found.frames.keys() == expected.frames.keys()
    for number, frame in expected.frames.items():
        np.testing.assert_array_equal(found.frames[number], frame)


def test_what_is_refused_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"no video")
    readers = VideoReaders()
    with pytest.raises(VideoError, match=r"a\.avi: not a video file: it holds text"):
        readers.read(tmp_path / "a.avi", [NEED])
    assert readers.read(encode_kind(tmp_path, "avi", 12), [NEED]).num_frames == 12


def test_a_reader_that_is_held_up_is_stopped_and_the_next_video_read(tmp_path: Path) -> None:
    large = write_video(tmp_path / "a.avi", vivid_frames(20, 3840, 2160), "MJPG")
    readers = VideoReaders(Limits(seconds=0.1, seconds_per_frame=0.1))
    with pytest.raises(VideoError, match="the process that read it was stopped: it took too long"):
        readers.read(large, [NEED])
    assert readers.read(encode_kind(tmp_path, "avi", 8), [NEED]).num_frames == 8


def test_a_video_that_takes_more_memory_than_it_may_is_refused(tmp_path: Path) -> None:
    large = write_video(tmp_path / "a.avi", vivid_frames(6, 3840, 2160), "MJPG")
    readers = VideoReaders(Limits(gigabytes=0.1))
    with pytest.raises(VideoError):
        readers.read(large, [NEED])
    assert readers.read(encode_kind(tmp_path, "avi", 8), [NEED]).num_frames == 8
