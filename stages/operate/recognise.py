"""The classes of raw video files, by a packaged recogniser or a registered one."""

import csv
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from stages.operate.found_videos import find_videos, refuse_same_names
from stages.runtime import command, params
from stages.runtime.machine import choose_device, this_machine
from stages.runtime.places import RECOGNISERS
from stages.tracking import registry
from tsn.metrics import Scores
from tsn.names import shown
from tsn.recogniser.annotate import make_overlay, write_annotated
from tsn.recogniser.calibration import softmax
from tsn.recogniser.recogniser import Recogniser, load_recogniser
from tsn.recogniser.sight import Sight
from tsn.sources.folder import file_problem
from tsn.streams.contents import VideoError
from tsn.streams.limits import Limits
from tsn.streams.video import Frame

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))")
BAR_WIDTH = 20
ENDING = ".mp4"  # of an annotated video
DEFAULT_TOP = 5
T = TypeVar("T")
# Of a table, between them the measure: probability of a calibrated recogniser, else share.
COLUMNS = (("video", "class"), ("seconds", "error"))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a video was recognised as, and how long that took.

    shares: of the classes (C,), which are what `measure` says, as `Recogniser.shares`.
    """

    video: Path
    scores: Scores
    shares: npt.NDArray[np.float64]
    measure: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """videos: files, folders, patterns. model: a recogniser's folder, models:/<dataset>@<alias> or
    models:/<dataset>/<number>; None: that of the project. top: classes to show. json: a line of
    JSON for each video. csv: a table of them. modalities, crops: as `load_recogniser` takes them.
    device: as `this_machine`. annotate: where to write the video with its classes on it, if it
    ends with .mp4; else a folder for those of all videos.
    """

    videos: tuple[Path, ...]
    model: str | None
    top: int = DEFAULT_TOP
    json: bool = False
    csv: bool = False
    modalities: tuple[str, ...] = ()
    crops: str | None = None
    device: str | None = None
    annotate: Path | None = None

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise ValueError("--json and --csv are two forms of the answer: choose one")


def main(options: Options) -> None:
    videos = find_videos(options.videos)
    targets = annotated_paths(list(videos), options.annotate)
    machine = this_machine(options.device)
    began, failed = time.monotonic(), 0
    with model_folder(options.model or default_model()) as folder:
        device, narrowed = choose_device(machine), (options.modalities, options.crops)
        recogniser = load_recogniser(folder, device, machine.reading, *narrowed)
        if recogniser.measure == "share":
            print("not calibrated: shares of the scores, no probabilities", file=sys.stderr)
        if options.csv:
            scores = (f"score:{name}" for name in recogniser.classes)
            print(csv_line((*COLUMNS[0], recogniser.measure, *COLUMNS[1], *scores)))
        for video, problem in told_progress(videos.items()):
            try:
                if why := problem or file_problem(video):
                    raise VideoError(video, why)
                answer = recognise(recogniser, video, targets.get(video), machine.reading)
            except VideoError as error:
                failed += 1
                tell(f"{shown(video)}: {shown(error.reason)}", sys.stderr)
                if options.json or options.csv:
                    tell(refused(video, error.reason, options.json), sys.stdout)
                continue
            show = json_line if options.json else csv_row if options.csv else text
            tell(show(answer, recogniser.classes, options.top), sys.stdout)
    if len(videos) > 1:
        seconds = time.monotonic() - began
        print(
            f"{len(videos)} videos in {seconds:.0f} s, {60 * len(videos) / seconds:.0f} a minute",
            file=sys.stderr,
        )
    if failed:
        raise ValueError(f"{failed} of {len(videos)} videos could not be recognised")


def told_progress(videos: Collection[T]) -> Iterable[T]:
    """Return the videos, behind a bar on stderr if they are several and a terminal is there."""
    if len(videos) == 1:
        return videos
    return command.progress(videos, total=len(videos), unit="video", text="recognise")


def tell(line: str, stream: TextIO) -> None:
    """Write a line at once, above the bar if there is one."""
    tqdm.write(line, file=stream)
    stream.flush()


def default_model() -> str:
    """Return the champion of the only dataset of params.yaml, or else its packaged recogniser; say
    which on stderr. ValueError where there is neither.
    """
    if not params.PARAMS.is_file():
        raise ValueError("not in a project: name a recogniser's folder by --model")
    active = params.active_datasets()
    if len(active) != 1:
        raise ValueError(
            f"say which recogniser, by --model: params.yaml has {', '.join(active)}, so "
            f"models:/{active[0]}@champion or {RECOGNISERS / active[0]}, for example"
        )
    try:
        champion = registry.find(active[0], registry.CHAMPION)
    except OSError as error:
        print(f"MLflow cannot be asked for a champion: {error}", file=sys.stderr)
        champion = None
    if champion is not None:
        print(f"by the champion, {champion}", file=sys.stderr)
        return f"models:/{active[0]}@{registry.CHAMPION}"
    packaged = str(RECOGNISERS / active[0])
    print(f"by {packaged}, as no version is the champion yet", file=sys.stderr)
    return packaged


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


def annotated_paths(videos: Sequence[Path], annotate: Path | None) -> dict[Path, Path]:
    """Return where each video is written with its classes on it; nowhere without `annotate`.

    ValueError for one file of several videos, for two videos of one name, and for a video itself.
    """
    if annotate is None:
        return {}
    if annotate.suffix.lower() == ENDING:
        if len(videos) > 1:
            raise ValueError(
                f"--annotate {shown(annotate.name)} is one file for {len(videos)} videos: name a "
                "folder"
            )
        targets = dict.fromkeys(videos, annotate)
    else:
        refuse_same_names(videos, "annotated videos", "--annotate")
        targets = {video: annotate / f"{video.name}{ENDING}" for video in videos}
    for video, target in targets.items():
        if target.exists() and video.exists() and target.samefile(video):
            raise ValueError(f"--annotate would write over {shown(video)}: name another file")
    return targets


def recognise(
    recogniser: Recogniser, video: Path, annotated: Path | None, limits: Limits
) -> Answer:
    """Score one video file, and write it with its classes on it if there is a path for that."""
    started = time.monotonic()
    sight = None if annotated is None else recogniser.look(video)
    scores = recogniser.score(video) if sight is None else sight.scores
    answer = Answer(
        video=video,
        scores=scores,
        shares=recogniser.shares(scores),
        measure=recogniser.measure,
        seconds=time.monotonic() - started,
    )
    if sight is not None and annotated is not None:
        annotate(video, sight, recogniser, annotated, limits)
    return answer


def annotate(
    video: Path, sight: Sight, recogniser: Recogniser, annotated: Path, limits: Limits
) -> None:
    """Write a video with its classes on it, behind a bar, and say where."""
    title = recogniser.classes[int(sight.scores.argmax())]
    overlay = make_overlay(sight, recogniser.classes, softmax(sight.moments), title)

    def progress(frames: Iterable[Frame], total: int) -> Iterable[Frame]:
        return command.progress(frames, total=total, unit="frame", text=shown(annotated.name))

    write_annotated(video, overlay, annotated, progress, limits)
    tell(shown(annotated), sys.stderr)


def text(answer: Answer, classes: Sequence[str], top: int) -> str:
    """Return the best classes with their shares as bars."""
    shares = answer.shares
    best = _best(answer, top)
    width = max(len(classes[label]) for label in best)
    lines = [f"{shown(answer.video)} ({answer.seconds:.1f} s)"]
    for label in best:
        bar = "█" * round(BAR_WIDTH * shares[label])
        lines.append(f"  {classes[label]:{width}}  {shares[label]:6.1%}  {bar}".rstrip())
    return "\n".join(lines)


def json_line(answer: Answer, classes: Sequence[str], top: int) -> str:
    """Return the best classes in order, and every class's fused score, as a line of JSON."""
    return json.dumps(
        {
            "video": str(answer.video),
            "seconds": round(answer.seconds, 3),
            "top": [
                {"class": classes[k], answer.measure: float(answer.shares[k])}
                for k in _best(answer, top)
            ],
            "scores": {name: float(s) for name, s in zip(classes, answer.scores, strict=True)},
        },
        ensure_ascii=False,
    )


def csv_row(answer: Answer, classes: Sequence[str], top: int) -> str:  # noqa: ARG001
    """Return the best class, its share and every class's fused score, as a row of the table."""
    best = int(answer.scores.argmax())
    row = (answer.video, classes[best], float(answer.shares[best]), round(answer.seconds, 3), "")
    return csv_line((*row, *map(str, answer.scores)))


def refused(video: Path, reason: str, as_json: bool) -> str:
    """Return the line of a video that has no answer."""
    if as_json:
        return json.dumps({"video": shown(video), "error": shown(reason)})
    return csv_line((shown(video), "", "", "", shown(reason)))


def csv_line(values: Sequence[object]) -> str:
    """Return values as a line of CSV, without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _best(answer: Answer, top: int) -> list[int]:
    """Return the best classes' labels, the best first."""
    return [int(label) for label in np.argsort(-answer.scores, kind="stable")[:top]]
