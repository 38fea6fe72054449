"""A snippet a second: which frames it has, what is refused, and that length takes no memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import small_configs
import torch
from recognisers import STREAM_CONFIGS, write_recogniser
from videos import write_wandering

from tsn.modality import modality
from tsn.recogniser import dense_read
from tsn.recogniser.dense_read import Part, read_seconds, snippet_a_second
from tsn.recogniser.recogniser import load_recogniser
from tsn.recogniser.sparse_read import Need
from tsn.sources.synthetic import encode
from tsn.streams.contents import VideoError
from tsn.streams.limits import DEFAULT_LIMITS
from tsn.streams.table import STREAMS
from tsn.streams.video import FrameReader, resize_frame


def need(name: str) -> Need:
    row = modality(name)
    return Need(modality=row, stream=STREAMS[row.stream], config=STREAM_CONFIGS[name], snippets=1)


@pytest.mark.parametrize(
    ("frames", "rate", "span", "starts"),
    [
        (30, 10, 4, [3, 13, 23]),  # the middles are 5, 15, 25
        (34, 10, 4, [3, 13, 23]),  # less than half a second more
        (36, 10, 4, [3, 13, 23, 32]),  # a half: its last frames
        (4, 10, 4, [0]),  # less than half a second
        (3, 10, 4, []),
        (10, 2, 6, [0, 0, 2, 4, 4]),  # snippets longer than a second
        (3, 1, 1, [0, 1, 2]),
        (60, 29.97, 1, [14, 44]),
    ],
)
def test_snippets_are_the_middles_of_seconds(
    frames: int, rate: float, span: int, starts: list[int]
) -> None:
    found = list(snippet_a_second(range(frames), rate, span))
    assert found == [list(range(start, start + span)) for start in starts]


def test_every_need_has_its_frames_from_the_middle(tmp_path: Path) -> None:
    video = write_wandering(tmp_path / "long.avi", 260)  # 10.4 s
    parts = list(read_seconds(video, [need("rgb"), need("flow")], DEFAULT_LIMITS))
    assert [part.seconds for part in parts] == [10.4, 10.4]
    frames = list(FrameReader(video))
    for name, first in (("rgb", 2), ("flow", 0)):
        snippets = [frames for part in parts for frames in part.frames(need(name))]
        assert len(snippets) == 10
        config = STREAM_CONFIGS[name]
        for second, snippet in enumerate(snippets):
            start = int((second + 0.5) * 25) - 3 + first
            expected = frames[start : start + len(snippet)]
            resized = [resize_frame(frame, config.width, config.height) for frame in expected]
            assert np.array_equal(snippet, resized)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    config = small_configs.SYNTHETIC
    noise = np.random.default_rng(1).integers(0, 255, (7, 120, 160, 3), dtype=np.uint8)
    peaks = []
    for seconds in (20, 200):
        video = tmp_path / f"{seconds}.avi"
        encode((noise[n % 7] for n in range(seconds * 25)), config, video)
        tracemalloc.start()
        parts = dense_read._parts(dense_read._Task(video, ((80, 60),), 6), DEFAULT_LIMITS)
        assert sum(len(part.snippets[80, 60]) for part in parts) == seconds
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000, peaks  # a second of it has 860,000 bytes of frames


@pytest.mark.slow
def test_a_video_of_one_snippet_has_the_scores_of_a_short_one(tmp_path: Path) -> None:
    write_recogniser(tmp_path / "toy", weights={"rgb_diff": 0.7, "flow": 1.5})
    recogniser = load_recogniser(tmp_path / "toy", torch.device("cpu"))
    video = write_wandering(tmp_path / "short.avi", 6)
    (found,) = recogniser.score_seconds(video)
    np.testing.assert_allclose(found.scores, recogniser.score(video)[None], rtol=1e-5, atol=1e-4)


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parts(video: Path) -> list[Part]:
        return list(read_seconds(video, [need("flow")], DEFAULT_LIMITS))

    with pytest.raises(VideoError, match="5 frames, a snippet takes 6"):
        parts(write_wandering(tmp_path / "short.avi", 5))
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(VideoError, match="not a video file: it holds text"):
        parts(tmp_path / "text.avi")
