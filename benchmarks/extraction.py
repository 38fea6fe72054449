"""Whole extraction of a folder of videos: time, pairs per second, megabytes per minute of video.

    python benchmarks/extraction.py --videos FOLDER [--classes JumpingJack ...]

FOLDER holds <class>/<clip>. Frames, flow and warped flow are computed from nothing into a temporary
store with the settings of a recipe (`ucf101` unless told) and this machine's workers, as the
`extract` stage does. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2

from stages.extract import make_job
from stages.runtime import command
from tsn.sources.folder import folder_videos
from tsn.streams.archives import OK
from tsn.streams.extraction import fill_store

MEASURED = ("rgb", "flow", "warped_flow")  # a modality of each stream


def main() -> None:
    """Measure the three streams, print a line for each, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", required=True, type=Path, help="folder of <class>/<clip>")
    parser.add_argument("--classes", nargs="*", help="only these classes of the folder")
    parser.add_argument("--recipe", default="ucf101", help="whose settings (default ucf101)")
    arguments = parser.parse_args()
    videos = folder_videos(arguments.videos)
    if arguments.classes:
        videos = [video for video in videos if video.split("/")[0] in arguments.classes]
    minutes = sum(seconds_of_video(arguments.videos / video) for video in videos) / 60
    print(f"{len(videos)} videos, {minutes:.1f} minutes")
    results = {
        modality: measure(arguments.videos, videos, arguments.recipe, modality, minutes)
        for modality in MEASURED
    }
    print(json.dumps(results))


def seconds_of_video(path: Path) -> float:
    """Return how long a video plays, by its header."""
    capture = cv2.VideoCapture(str(path))
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return float(frames / rate) if rate else 0.0


def measure(
    folder: Path, videos: list[str], recipe: str, modality: str, minutes: float
) -> dict[str, float]:
    """Extract one stream of all videos into a new store."""
    with tempfile.TemporaryDirectory() as store:
        start = time.perf_counter()
        job = make_job(recipe, modality, folder, videos, Path(store))
        text = f"{job.stream.name}, {len(job.devices)} x {job.devices[0].name}"
        records = list(
            command.progress(fill_store(job), total=len(videos), unit="video", text=text)
        )
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(store).rglob("*.zip"))
    entries = sum(record.row.entries for record in records if record.row.status == OK)
    unsupported = sum(record.num_unsupported for record in records)
    result = {
        "seconds": round(seconds, 1),
        "entries": entries,
        "entries_per_s": round(entries / seconds, 1),
        "kilobytes_per_entry": round(size / entries / 1e3, 1),
        "megabytes_per_minute": round(size / 1e6 / minutes, 1),
        "unsupported_share": round(unsupported / entries, 4),
        "quarantined": sum(record.row.status != OK for record in records),
    }
    print(f"{text}: " + ", ".join(f"{name} {value}" for name, value in result.items()))
    return result


if __name__ == "__main__":
    main()
