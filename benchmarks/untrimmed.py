"""Long videos of the built-in dataset: what a recogniser finds in them, and what memory it takes.

    python benchmarks/untrimmed.py --model recognisers/synthetic --out long
    python benchmarks/untrimmed.py --model recognisers/synthetic --out long --minutes 1 4

The first writes videos of a minute with two short actions and background between, with their
annotations, and says the mean average precision, and of how many seconds it is right. The second
reads videos of so many minutes, and says the largest memory of the program and of what reads.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from stages.operate import timeline
from tsn.files import write_json
from tsn.recogniser.recogniser import load_recogniser
from tsn.sources.synthetic import encode, render_background
from tsn.sources.synthetic_motion import SyntheticConfig
from tsn.untrimmed.annotations import read_annotations
from tsn.untrimmed.synthetic import draw_happenings, write_long_video

CONFIG = SyntheticConfig(
    seed=100,  # not the recipe's: no scene that was trained on
    groups=6,
    clips_per_group=3,
    frames=21,
    width=160,
    height=120,
    frames_per_second=25,
    pan_share=0.34,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a recogniser's folder")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--minutes", type=int, nargs="+")
    arguments = parser.parse_args()
    if arguments.minutes:
        measure_memory(arguments.model, arguments.out, arguments.minutes)
    else:
        recognise(arguments.model, arguments.out, arguments.videos)


def recognise(model: str, out: Path, count: int) -> None:
    """Write the videos and their annotations, recognise them, and say what is right."""
    videos, database = [out / f"videos/v_{number:02}.avi" for number in range(count)], {}
    for number, video in enumerate(videos):
        happenings = draw_happenings(CONFIG, number, actions=2)
        database[f"{number:02}"] = write_long_video(CONFIG, number, happenings, video)
    truth = out / "annotations.json"
    write_json(truth, {"database": database})
    timelines = out / "timelines"
    timeline.main(
        timeline.Options(videos=tuple(videos), model=model, out=timelines, annotations=truth)
    )
    kinds: dict[str, list[bool]] = {"action": [], "background": []}
    for number, row in read_annotations(truth).items():
        content = json.loads((timelines / f"v_{number}.avi.json").read_text(encoding="utf-8"))
        for span in content["spans"]:
            for second in range(span["start"], span["end"]):
                real = [a.label for a in row.annotations if a.start <= second < a.end]
                kinds["action" if real else "background"].append(
                    (real or [None])[0] == span["class"]
                )
    for kind, right in kinds.items():
        print(f"seconds of {kind}: {len(right)}, right: {np.mean(right):.1%}")


def measure_memory(model: str, out: Path, minutes: list[int]) -> None:
    """Read videos of that many minutes, the shortest first."""
    recogniser = load_recogniser(Path(model), torch.device("cpu"))
    for length in sorted(minutes):
        video = out / f"{length}_minutes.avi"
        video.parent.mkdir(parents=True, exist_ok=True)
        encode(render_background(CONFIG, 1, length * 60 * 25), CONFIG, video)
        started, seconds, most = time.process_time(), 0, [0.0, 0.0]
        for part in recogniser.score_seconds(video):
            seconds += len(part.scores)
            own = psutil.Process()
            read = max((child.memory_info().rss for child in own.children()), default=0)
            most = [max(pair) for pair in zip(most, (own.memory_info().rss, read), strict=True)]
        print(
            f"{seconds} s of video: at most {most[0] / 1e6:.0f} MB, and {most[1] / 1e6:.0f} MB for "
            f"what reads; {(time.process_time() - started) / seconds:.3f} s of CPU a second"
        )


if __name__ == "__main__":
    main()
