"""The speed of the whole method: by hand, and measured on real videos and networks."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recognisers import STREAM_CONFIGS, TESTING, write_models
from videos import write_pan

from tsn.modality import modality
from tsn.scoring.speed import MethodTimes, time_method
from tsn.streams.extraction import ExtractionJob
from tsn.streams.table import STREAMS, Acceptance, WorkerDevice


def test_a_combination_takes_each_stream_once_and_each_network() -> None:
    times = MethodTimes(
        videos=("a", "b", "c"),
        frames=(100, 100, 60),
        stream_of={"rgb": "rgb", "rgb_diff": "rgb", "flow": "flow"},
        extraction={"rgb": (1.0, 2.0, 1.0), "flow": (17.0, 16.0, 30.0)},
        scoring={"rgb": (1.0, 2.0, 1.0), "rgb_diff": (3.0, 1.0, 3.0), "flow": (1.0, 5.0, 28.0)},
    )
    assert times.frames_per_second(["rgb"]) == 30  # of 50, 25 and 30
    assert times.frames_per_second(["rgb", "rgb_diff"]) == 20  # of 100 / 5, 100 / 5 and 60 / 5
    assert times.frames_per_second(["rgb", "flow"]) == 4  # of 100 / 20, 100 / 25 and 60 / 60


@pytest.fixture
def jobs(tmp_path: Path) -> dict[str, ExtractionJob]:
    videos = []
    for number in range(4):
        videos.append(f"walk/{number}.avi")
        write_pan(tmp_path / "videos" / videos[-1], 8 + number, dx=1, brightness=number)
    return {
        name: ExtractionJob(
            stream=STREAMS[modality(name).stream],
            config=STREAM_CONFIGS[name],
            accept=Acceptance(min_frames=9, max_quarantined=9),
            videos_dir=tmp_path / "videos",
            videos=videos,
            store_dir=tmp_path / "store",
            devices=[WorkerDevice(name="cpu", threads=1)],
        )
        for name in ("rgb", "rgb_diff", "flow")
    }


def test_every_video_but_the_first_is_measured_whole(
    tmp_path: Path, jobs: dict[str, ExtractionJob]
) -> None:
    models = write_models(tmp_path / "models", list(jobs))
    began = time.perf_counter()
    times = time_method(jobs, models, TESTING, device=torch.device("cpu"))
    whole = time.perf_counter() - began
    # The first of four is too short for the recipe, and the second warms up.
    assert times.videos == ("walk/2.avi", "walk/3.avi")
    assert times.frames == (10, 11)
    assert times.stream_of == {"rgb": "rgb", "rgb_diff": "rgb", "flow": "flow"}
    assert set(times.extraction) == {"rgb", "flow"} and set(times.scoring) == set(jobs)
    parts = [*times.extraction.values(), *times.scoring.values()]
    assert all(seconds > 0 for part in parts for seconds in part)
    assert sum(map(sum, parts)) < whole
    fused = times.frames_per_second(["rgb", "flow"])
    assert fused < min(times.frames_per_second([name]) for name in ("rgb", "flow"))
    assert not (tmp_path / "store").exists()


def test_one_video_is_too_few(tmp_path: Path, jobs: dict[str, ExtractionJob]) -> None:
    alone = {"rgb": replace(jobs["rgb"], videos=["walk/2.avi"])}
    with pytest.raises(ValueError, match="1 of 1 videos can be extracted; a speed takes two"):
        time_method(alone, {"rgb": tmp_path}, TESTING, device=torch.device("cpu"))
