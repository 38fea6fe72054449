"""Extraction end to end on small videos: counts, values, the store, crashes and kills."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from faulty_streams import CRASHING, FAILING, HANGING
from slow_extraction import CORE, PROGRAM, SLOW
from stream_configs import ACCEPT, FLOW, FRAMES, WARPED
from videos import PAN_HEIGHT as HEIGHT
from videos import PAN_WIDTH as WIDTH
from videos import write_pan

from tsn.flow.camera_motion import HomographyConfig
from tsn.flow.engines import flow_to_uint8
from tsn.streams import extraction
from tsn.streams.archives import archive_path, read_entries, read_manifest, write_manifest
from tsn.streams.extraction import (
    Extracted,
    ExtractionError,
    ExtractionJob,
    extract_stream,
    fill_store,
    shard_of,
)
from tsn.streams.limits import DEFAULT_LIMITS
from tsn.streams.store import find_result
from tsn.streams.table import (
    STREAMS,
    Acceptance,
    FlowConfig,
    FramesConfig,
    Stream,
)
from tsn.streams.video import read_frames
from tsn.workers.pool import WorkerError


def make_job(
    root: Path,
    stream: Stream,
    config: FramesConfig,
    videos: Sequence[str],
    workers: int = 1,
    accept: Acceptance = ACCEPT,
) -> ExtractionJob:
    return ExtractionJob(
        stream=stream,
        config=config,
        accept=accept,
        videos_dir=root / "videos",
        videos=videos,
        store_dir=root / "store",
        devices=[CORE] * workers,
    )


def extract(
    root: Path,
    stream: Stream,
    config: FramesConfig,
    videos: Sequence[str],
    workers: int = 1,
    accept: Acceptance = ACCEPT,
) -> dict[str, Extracted]:
    out_dir = root / stream.name
    job = make_job(root, stream, config, videos, workers, accept)
    records = list(extract_stream(job, out_dir))
    write_manifest([record.row for record in records], out_dir)
    return {record.row.video: record for record in records}


def output_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def mean_flow(root: Path, stream: str, video: str, config: FlowConfig) -> npt.NDArray[np.float64]:
    entries = read_entries(archive_path(root / stream, video), range(4))
    middle = entries[:, 8:-8, 12:-12].astype(np.float64)
    means: npt.NDArray[np.float64] = middle.mean(axis=(0, 1, 2)) * 2 * config.bound / 255
    return means - config.bound


def test_counts_and_values_of_the_three_streams(tmp_path: Path) -> None:
    video = "Pan/v_Pan (1) [x]&.avi"
    write_pan(tmp_path / "videos" / video, num_frames=5, dx=2)
    for name, config, entries in (
        ("frames", FRAMES, 5),
        ("flow", FLOW, 4),
        ("warped_flow", WARPED, 4),
    ):
        record = extract(tmp_path, STREAMS[name], config, [video])[video]
        assert (record.row.entries, record.row.status, record.from_store) == (entries, "ok", False)
        assert (record.row.width, record.row.height) == (WIDTH, HEIGHT)
        assert record.num_unsupported == 0
        assert read_manifest(tmp_path / name) == {video: record.row}
    quality = [cv2.IMWRITE_JPEG_QUALITY, FRAMES.jpeg_quality]
    jpegs = [
        cv2.imencode(".jpg", frame, quality)[1]
        for frame in read_frames(tmp_path / "videos" / video, WIDTH, HEIGHT)
    ]
    np.testing.assert_array_equal(
        read_entries(archive_path(tmp_path / "frames", video), range(5)),
        [cv2.imdecode(jpeg, cv2.IMREAD_COLOR) for jpeg in jpegs],
    )
    np.testing.assert_allclose(mean_flow(tmp_path, "flow", video, FLOW), [2.0, 0.0], atol=0.15)
    np.testing.assert_allclose(
        mean_flow(tmp_path, "warped_flow", video, WARPED), [0.0, 0.0], atol=0.15
    )


def test_pairs_without_support_are_counted(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos" / "a.avi", num_frames=4, dx=1)
    demanding = replace(
        WARPED,
        homography=HomographyConfig(
            max_corners=100, reprojection_threshold=1.0, min_matches=5000, min_inliers=6
        ),
    )
    record = extract(tmp_path, STREAMS["warped_flow"], demanding, ["a.avi"])["a.avi"]
    assert (record.num_unsupported, record.row.entries, record.row.status) == (3, 3, "ok")


def test_what_is_stored_is_not_computed_again(tmp_path: Path) -> None:
    for index in range(3):
        write_pan(tmp_path / "videos" / f"{index}.avi", num_frames=4, brightness=index)
    stream = STREAMS["frames"]
    first = extract(tmp_path, stream, FRAMES, ["0.avi", "1.avi"], workers=2)
    before = output_bytes(tmp_path / "frames")
    assert not any(record.from_store for record in first.values())

    assert all(r.from_store for r in extract(tmp_path, stream, FRAMES, ["0.avi", "1.avi"]).values())
    assert output_bytes(tmp_path / "frames") == before

    grown = extract(tmp_path, stream, FRAMES, ["2.avi", "1.avi", "0.avi"])
    assert {video: r.from_store for video, r in grown.items()} == {
        "0.avi": True,
        "1.avi": True,
        "2.avi": False,
    }
    # acceptance is not part of a result, the picture's size is
    accept = Acceptance(min_frames=1, max_quarantined=9)
    kept = extract(tmp_path, stream, FRAMES, ["0.avi"], accept=accept)
    assert kept["0.avi"].from_store
    assert sorted(output_bytes(tmp_path / "frames")) == ["0.avi.zip", "manifest.csv"]
    assert not extract(tmp_path, stream, replace(FRAMES, width=40), ["0.avi"])["0.avi"].from_store


def test_copies_of_a_video_are_computed_once(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos" / "a.avi", num_frames=4)
    (tmp_path / "videos" / "b.avi").write_bytes((tmp_path / "videos" / "a.avi").read_bytes())
    records = extract(tmp_path, STREAMS["frames"], FRAMES, ["a.avi", "b.avi"])
    assert [records[video].from_store for video in ("a.avi", "b.avi")] == [False, True]
    assert records["b.avi"].row.entries == 4


def write_mixed_dataset(root: Path) -> list[str]:
    write_pan(root / "videos" / "good.avi", num_frames=4)
    write_pan(root / "videos" / "short.avi", num_frames=2)
    write_pan(root / "videos" / "cut.avi", num_frames=20)
    whole = (root / "videos" / "cut.avi").read_bytes()
    (root / "videos" / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (root / "videos" / "text.avi").write_text("no video")
    return ["good.avi", "short.avi", "cut.avi", "text.avi"]


def test_unusable_videos_are_quarantined_with_their_reason(tmp_path: Path) -> None:
    videos = write_mixed_dataset(tmp_path)
    accept = replace(ACCEPT, max_quarantined=3)
    for from_store in (False, True):
        records = extract(tmp_path, STREAMS["flow"], FLOW, videos, workers=2, accept=accept)
        assert {record.from_store for record in records.values()} == {from_store}
        manifest = read_manifest(tmp_path / "flow")
        assert list(manifest) == sorted(videos)
        assert [row.status for row in manifest.values()] == ["quarantined", "ok"] + 2 * [
            "quarantined"
        ]
        assert "cut off" in manifest["cut.avi"].reason
        assert manifest["short.avi"].reason == "2 frames, expected at least 3"
        assert "not a video" in manifest["text.avi"].reason
        assert not any(str(tmp_path) in row.reason for row in manifest.values())
        assert sorted(output_bytes(tmp_path / "flow")) == ["good.avi.zip", "manifest.csv"]


def test_too_many_unusable_videos_are_an_error_that_loses_nothing(tmp_path: Path) -> None:
    videos = write_mixed_dataset(tmp_path)
    accept = replace(ACCEPT, max_quarantined=2)
    with pytest.raises(ExtractionError) as error:
        extract(tmp_path, STREAMS["frames"], FRAMES, videos, accept=accept)
    assert "3 videos cannot be used, max_quarantined allows 2" in str(error.value)
    assert "  short.avi: 2 frames, expected at least 3" in str(error.value)
    assert output_bytes(tmp_path / "frames") == {}
    assert extract(tmp_path, STREAMS["frames"], FRAMES, ["good.avi"])["good.avi"].from_store


def test_a_single_frame_has_no_flow(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos" / "a.avi", num_frames=1)
    accept = Acceptance(min_frames=1, max_quarantined=1)
    row = extract(tmp_path, STREAMS["flow"], FLOW, ["a.avi"], accept=accept)["a.avi"].row
    assert (row.status, row.entries) == ("quarantined", 0)
    assert row.reason == "1 frames, flow takes 2 or more"


def test_an_archive_damaged_in_the_store_is_made_again(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos" / "a.avi", num_frames=4)
    extract(tmp_path, STREAMS["frames"], FRAMES, ["a.avi"])
    before = output_bytes(tmp_path / "frames")
    (archive,) = (tmp_path / "store").rglob("*.zip")
    archive.chmod(0o644)
    archive.write_bytes(archive.read_bytes()[:-9])
    assert not extract(tmp_path, STREAMS["frames"], FRAMES, ["a.avi"])["a.avi"].from_store
    assert output_bytes(tmp_path / "frames") == before


@pytest.mark.slow
def test_a_video_that_kills_its_worker_is_tried_again_then_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children_left: Callable[[], set[object]]
) -> None:
    monkeypatch.setenv("TSN_TEST_MARKER", str(tmp_path / "crashed"))
    for name, brightness in (("dim", 0), ("once", 170), ("always", 220)):
        write_pan(tmp_path / "videos" / f"{name}.avi", num_frames=4, brightness=brightness)
    videos = ["dim.avi", "once.avi", "always.avi"]
    accept = replace(ACCEPT, max_quarantined=1)
    records = extract(tmp_path, CRASHING, FRAMES, videos, workers=2, accept=accept)
    assert {video: record.row.status for video, record in records.items()} == {
        "dim.avi": "ok",
        "once.avi": "ok",
        "always.avi": "quarantined",
    }
    assert "died twice: the last one exited with code 3" in records["always.avi"].row.reason
    assert children_left() == set()
    again = extract(tmp_path, CRASHING, FRAMES, videos, accept=accept)
    assert [again[video].from_store for video in videos] == [True, True, False]


def test_an_opencv_error_is_one_videos_defect_and_not_kept(tmp_path: Path) -> None:
    """It can be the memory that was missing: the next extraction tries again."""
    for name, brightness in (("dim", 0), ("bright", 170)):
        write_pan(tmp_path / "videos" / f"{name}.avi", num_frames=4, brightness=brightness)
    accept = replace(ACCEPT, max_quarantined=1)
    for from_store in (False, True):
        records = extract(tmp_path, FAILING, FRAMES, ["dim.avi", "bright.avi"], accept=accept)
        assert records["bright.avi"].row.reason.startswith("unexpected error: OpenCV")
        assert not records["bright.avi"].from_store
        assert records["dim.avi"].from_store == from_store


def test_a_full_disk_is_told_in_a_line(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos/a.avi", num_frames=4, brightness=220)
    with pytest.raises(WorkerError, match=r"a\.avi: .*No space left on device") as caught:
        extract(tmp_path, FAILING, FRAMES, ["a.avi"])
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("stream", "config", "limit", "defect"),
    [
        ("frames", FRAMES, "extraction.MAX_ENTRIES", "more than 3 entries; cut it up"),
        ("frames", FRAMES, "archives._MAX_BYTES", "too large for an archive of 3 bytes; cut"),
        ("flow", FLOW, "archives._MAX_BYTES", "too large for an archive of 3 bytes; cut"),
    ],
)
def test_a_video_too_long_for_an_archive_is_set_aside_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stream: str,
    config: FramesConfig,
    limit: str,
    defect: str,
) -> None:
    monkeypatch.setattr(f"tsn.streams.{limit}", 3)
    write_pan(tmp_path / "a.avi", num_frames=4)
    store = tmp_path / "store"
    task = extraction._Task(STREAMS[stream], config, tmp_path / "a.avi", store, "k", DEFAULT_LIMITS)
    result = extraction._extract_video(task, CORE)
    assert result.defect.startswith(defect)
    assert find_result(store, "k") == result
    assert not list(store.rglob("*.zip"))


def test_the_store_tells_library_versions_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pan(tmp_path / "videos/a.avi", num_frames=4)
    extract(tmp_path, STREAMS["frames"], FRAMES, ["a.avi"])
    monkeypatch.setattr(extraction, "library_versions", lambda: {"opencv": "0", "decord": "0"})
    assert not extract(tmp_path, STREAMS["frames"], FRAMES, ["a.avi"])["a.avi"].from_store


def test_shards_fill_a_store_that_the_extraction_then_only_assembles(tmp_path: Path) -> None:
    videos = [f"{index}.avi" for index in range(5)]
    for index, video in enumerate(videos):
        write_pan(tmp_path / "videos" / video, num_frames=4, brightness=index)
    shards = [shard_of(videos[::-1], index, 3) for index in (1, 2, 3)]
    assert shards == [["0.avi", "3.avi"], ["1.avi", "4.avi"], ["2.avi"]]
    assert shard_of(videos, 9, 9) == []
    stream = STREAMS["frames"]
    for shard in shards[::-1]:
        filled = fill_store(make_job(tmp_path, stream, FRAMES, shard))
        assert not any(record.from_store for record in filled)
    assert not (tmp_path / "frames").exists()
    records = extract(tmp_path, stream, FRAMES, videos)
    assert all(record.from_store for record in records.values()) and len(records) == 5
    for index, count in ((0, 3), (4, 3), (1, 0)):
        with pytest.raises(ValueError, match=f"shard {index}/{count}: expected"):
            shard_of(videos, index, count)


def test_a_video_that_hangs_the_decoder_is_quarantined_with_that_reason(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos/a.avi", num_frames=4)
    accept = replace(ACCEPT, max_quarantined=1)
    row = extract(tmp_path, HANGING, FRAMES, ["a.avi"], accept=accept)["a.avi"].row
    assert row.status == "quarantined"
    assert row.reason.endswith("died twice: the last one was stopped: it took too long")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids: Sequence[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_running, pids))


SIX = [f"{index}.avi" for index in range(6)]


def write_six(root: Path) -> Path:
    for index, video in enumerate(SIX):
        write_pan(root / "videos" / video, num_frames=8, brightness=index)
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a slow extraction gives that nobody stops."""
    root = write_six(tmp_path_factory.mktemp("whole"))
    extract(root, SLOW, FRAMES, SIX, workers=2)
    return output_bytes(root / "slow")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_killed_in_the_middle_then_run_again_gives_the_same_bytes(
    tmp_path: Path, whole: dict[str, bytes], how: str
) -> None:
    killed = write_six(tmp_path / "killed")
    process: Any = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, killed, *SIX],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
    )
    with process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        getattr(process, how)()
    assert len(pids) == 2 and wait_until_gone(pids)
    assert not list((killed / "slow").rglob("*.zip"))

    records = extract(killed, SLOW, FRAMES, SIX)
    assert 1 <= sum(record.from_store for record in records.values()) < 6
    assert output_bytes(killed / "slow") == whole


def test_bad_arguments_are_refused_before_any_work(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos" / "a.avi", num_frames=4)

    def start(stream: str, config: FramesConfig, videos: list[str], workers: int = 1) -> None:
        make_job(tmp_path, STREAMS[stream], config, videos, workers)

    with pytest.raises(FileNotFoundError, match=r"1 of 2 videos .*gone\.avi"):
        start("frames", FRAMES, ["a.avi", "gone.avi"])
    with pytest.raises(ValueError, match="takes a FlowConfig, not a FramesConfig"):
        start("flow", FRAMES, ["a.avi"])
    with pytest.raises(ValueError, match="list each one once"):
        start("frames", FRAMES, ["a.avi", "a.avi"])
    with pytest.raises(ValueError, match="below"):
        start("frames", FRAMES, ["../videos/a.avi"])
    with pytest.raises(ValueError, match="no devices"):
        start("frames", FRAMES, ["a.avi"], workers=0)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("jpeg_quality", 101),
        ("bound", 0.0),
        ("engine", "magic"),
    ],
)
def test_bad_settings_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        replace(FLOW, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("min_frames", 0), ("max_quarantined", -1)])
def test_bad_acceptance_is_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        replace(ACCEPT, **{name: value})


def test_flow_is_quantised_with_the_streams_bound(tmp_path: Path) -> None:
    write_pan(tmp_path / "videos" / "a.avi", num_frames=3, dx=2)
    extract(tmp_path, STREAMS["flow"], FLOW, ["a.avi"])
    centre = read_entries(archive_path(tmp_path / "flow", "a.avi"), [0])[0, 18, 24].astype(int)
    expected = flow_to_uint8(np.array([2.0, 0.0], dtype=np.float32), FLOW.bound).astype(int)
    assert np.abs(centre - expected).max() <= 4
