"""The classes of raw video files, by a packaged recogniser or a registered one."""

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.runtime.machine import choose_device, read_machine
from stages.tracking import registry
from tsn.metrics import Scores
from tsn.names import shown
from tsn.recogniser.recogniser import Recogniser, load_recogniser, softmax
from tsn.sources.folder import file_problem
from tsn.streams.contents import VideoError

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))")
BAR_WIDTH = 20


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a video was recognised as, and how long that took."""

    video: Path
    scores: Scores
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """videos: files. model: a recogniser's folder, models:/<dataset>@<alias> or
    models:/<dataset>/<number>. top: classes to show. json: a line of JSON for each video."""

    videos: tuple[Path, ...]
    model: str
    top: int = 5
    json: bool = False


def main(options: Options) -> None:
    machine = read_machine()
    failed = 0
    with model_folder(options.model) as folder:
        recogniser = load_recogniser(folder, choose_device(machine), machine.reading)
        for video in options.videos:
            try:
                if problem := file_problem(video):
                    raise VideoError(video, problem)
                answer = recognise(recogniser, video)
            except VideoError as error:
                failed += 1
                print(f"{shown(video)}: {shown(error.reason)}", file=sys.stderr)
                continue
            show = json_line if options.json else text
            print(show(answer, recogniser.classes, options.top), flush=True)
    if failed:
        raise ValueError(f"{failed} of {len(options.videos)} videos could not be recognised")


@contextmanager
def model_folder(name: str) -> Iterator[Path]:
    """Give a recogniser's folder: that of the name, or what the registry has under it."""
    if not name.startswith("models:"):
        yield Path(name)
        return
    version = find_version(name)
    with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
        yield registry.fetch(version, Path(folder))


def find_version(name: str) -> registry.Version:
    """Return the version that `models:/<dataset>@<alias>` or `models:/<dataset>/<n>` names."""
    match = REGISTERED.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} names no registered recogniser; expected models:/<dataset>@<alias> or "
            "models:/<dataset>/<number>"
        )
    if match["number"]:
        return registry.find_number(match["name"], match["number"])
    version = registry.find(match["name"], match["alias"])
    if version is None:
        raise registry.NotRegisteredError(
            f"{match['name']} has no version under the alias {match['alias']}; `tsn "
            f"promote {match['name']}` sets champion and previous"
        )
    return version


def recognise(recogniser: Recogniser, video: Path) -> Answer:
    """Score one video file."""
    started = time.monotonic()
    scores = recogniser.score(video)
    return Answer(video=video, scores=scores, seconds=time.monotonic() - started)


def text(answer: Answer, classes: Sequence[str], top: int) -> str:
    """Return the best classes with the softmax of their scores as bars."""
    shares = softmax(answer.scores)
    best = np.argsort(-answer.scores, kind="stable")[:top]
    width = max(len(classes[label]) for label in best)
    lines = [f"{shown(answer.video)} ({answer.seconds:.1f} s)"]
    for label in best:
        bar = "█" * round(BAR_WIDTH * shares[label])
        lines.append(f"  {classes[label]:{width}}  {shares[label]:6.1%}  {bar}".rstrip())
    return "\n".join(lines)


def json_line(answer: Answer, classes: Sequence[str], top: int) -> str:
    """Return the best classes in order, and every class's fused score, as a line of JSON."""
    shares = softmax(answer.scores)
    best = np.argsort(-answer.scores, kind="stable")[:top]
    return json.dumps(
        {
            "video": str(answer.video),
            "seconds": round(answer.seconds, 3),
            "top": [{"class": classes[k], "probability": float(shares[k])} for k in best],
            "scores": {name: float(s) for name, s in zip(classes, answer.scores, strict=True)},
        },
        ensure_ascii=False,
    )
