"""What long videos show when, by a packaged recogniser or a registered one.

Each video has three files: `<video>.png`, a picture; `<video>.csv`, the fused scores of every
second before softmax; and `<video>.json`, all else. A video whose scores are there, made by the
same recogniser, is not read again.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stages.operate.found_videos import find_videos, refuse_same_names
from stages.operate.recognise import default_model, model_folder
from stages.reporting.figures.timeline import clock, draw_timeline
from stages.runtime.command import progress
from stages.runtime.machine import choose_device, this_machine
from tsn.files import file_sha256, read_csv, write_csv, write_json
from tsn.metrics import Scores
from tsn.names import same_name, shown
from tsn.recogniser.calibration import softmax
from tsn.recogniser.card import RecogniserCard, read_card, read_test_scores
from tsn.recogniser.recogniser import Recogniser, load_recogniser
from tsn.sources.folder import file_problem
from tsn.streams.contents import VideoError
from tsn.untrimmed.annotations import (
    AnnotatedVideo,
    annotated_files,
    labels_of,
    read_annotations,
)
from tsn.untrimmed.timeline import SMOOTHED, Shares, Span, find_spans, least_sure, second_shares
from tsn.untrimmed.windows import average_precisions, windowed_score

SECOND = "second"  # the first column of the scores


@dataclass(frozen=True, kw_only=True)
class Options:
    """videos, model, modalities, crops, device: as in `recognise`. out: the folder of timelines.
    top: classes to tell of a second and of a whole video. sure: the share from which on a second
    shows a class, None for what the recogniser's test videos say: `limit_of_tests`. annotations:
    what really happens, as ActivityNet or THUMOS14 publish it. subset: of the annotated videos,
    those of the mean average precision, in small letters; None for all. json: print the JSON, too,
    a line for each video.
    """

    videos: tuple[Path, ...]
    model: str | None
    out: Path
    modalities: tuple[str, ...] = ()
    crops: str | None = None
    device: str | None = None
    top: int = 5
    sure: float | None = None
    annotations: Path | None = None
    subset: str | None = None
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The fused scores (S, C) of every second of a video, with what they are of and made by."""

    video: str
    sha256: str
    recogniser: str
    seconds: float
    scores: Scores


def main(options: Options) -> None:
    videos = find_videos(options.videos)
    refuse_same_names(videos, "timelines", "--out")
    truth = read_truth((v for v, problem in videos.items() if not problem), options)
    machine = this_machine(options.device)
    found: dict[Path, Watched] = {}
    with model_folder(options.model or default_model()) as folder:
        device, narrowed = choose_device(machine), (options.modalities, options.crops)
        recogniser = load_recogniser(folder, device, machine.reading, *narrowed)
        asked = " ".join([recogniser.card.fingerprint, *options.modalities, options.crops or ""])
        least = limit_of_tests(folder, recogniser.card) if options.sure is None else options.sure
        for video, problem in videos.items():
            try:
                if why := problem or file_problem(video):
                    raise VideoError(video, why)
                found[video] = watch(recogniser, asked.rstrip(), video, options.out)
            except VideoError as error:
                print(f"{shown(video)}: {shown(error.reason)}", file=sys.stderr)
                continue
            tell(found[video], recogniser.classes, least, truth.get(video), options)
    if options.annotations and found:
        lines = precision_lines(found, recogniser.classes, truth, options.subset)
        print("\n".join(lines), file=sys.stderr if options.json else sys.stdout)
    if len(found) < len(videos):
        failed = len(videos) - len(found)
        raise ValueError(f"{failed} of {len(videos)} videos could not be recognised")


def read_truth(videos: Iterable[Path], options: Options) -> dict[Path, AnnotatedVideo]:
    """Return what is annotated of the videos.

    ValueError for two files of one annotated video, and if the subset has none that is annotated.
    """
    if options.annotations is None:
        return {}
    truth = annotated_files(videos, read_annotations(options.annotations))
    subsets = {row.subset for row in truth.values()}
    if options.subset is not None and options.subset not in subsets:
        raise ValueError(
            f"no video is of subset {options.subset}; those in {shown(options.annotations)} are "
            f"of: {', '.join(sorted(subsets)) or 'none, as no video is in it'}"
        )
    wanted = [row for row in truth.values() if options.subset in (None, row.subset)]
    if wanted and not any(row.annotations for row in wanted):
        of = f" of subset {options.subset}" if options.subset else ""
        raise ValueError(
            f"{shown(options.annotations)} has no annotation of the videos{of}, as if they were "
            "withheld: leave --annotations out, or name other videos"
        )
    return truth


def limit_of_tests(folder: Path, asked: RecogniserCard) -> float:
    """Return the share from which on a second shows a class, by the test scores of a folder.

    ValueError if less is asked than they were made of: other modalities or crops have another
    scale.
    """
    whole, _ = read_card(folder)
    if asked != whole:
        raise ValueError(
            "with these --modalities or --crops it is not known how sure a second has to be: the "
            "test scores that say it are of all modalities of the recogniser "
            f"({' + '.join(whole.weights)}) and of its own crops ({whole.testing.crops}), and have "
            "another scale; say it by --sure, for example --sure 0.6"
        )
    return least_sure(read_test_scores(folder))


def watch(recogniser: Recogniser, asked: str, video: Path, out: Path) -> Watched:
    """Return a video's scores, those of its files in `out` if they are the same video's.

    asked: which recogniser is asked, and what of it.
    """
    digest = file_sha256(video)
    there = read_watched(out / f"{video.name}.json")
    if there and (there.sha256, there.recogniser) == (digest, asked):
        return there
    parts = recogniser.score_seconds(video)
    first = next(parts)
    rows = (row for part in chain([first], parts) for row in part.scores)
    text, total = shown(video.name), round(first.seconds)
    watched = Watched(
        video=str(video),
        sha256=digest,
        recogniser=asked,
        seconds=round(first.seconds, 3),
        scores=np.stack(list(progress(rows, total=total, unit="s of video", text=text))),
    )
    numbers = enumerate(watched.scores)
    # The shortest text that reads as the same float32
    lines = ([second, *map(str, row)] for second, row in numbers)
    (out / f"{video.name}.json").unlink(missing_ok=True)  # it vouches for the scores beside it
    write_csv(out / f"{video.name}.csv", (SECOND, *recogniser.classes), lines)
    return watched


def read_watched(path: Path) -> Watched | None:
    """Return what the files of a timeline say, None where they are not whole."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        rows = read_csv(path.with_suffix(".csv"), (SECOND, *known["scores"]))
        scores = np.array([[row[name] for name in known["scores"]] for row in rows], np.float32)
        names = ("video", "sha256", "recogniser", "seconds")
        return Watched(**{name: known[name] for name in names}, scores=scores)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tell(
    watched: Watched,
    classes: Sequence[str],
    least: float,
    truth: AnnotatedVideo | None,
    options: Options,
) -> None:
    """Write a video's picture and JSON, and print what it shows."""
    video = Path(watched.video)
    shares = second_shares(watched.scores)
    spans = find_spans(shares, least)
    content = describe(watched, classes, shares, spans, least, options.top)
    real = happenings(truth, classes)
    picture = options.out / f"{video.name}.png"
    draw_timeline(shown(video.name), classes, shares, spans, real, picture)
    write_json(options.out / f"{video.name}.json", content)
    if options.json:
        print(json.dumps(content, ensure_ascii=False), flush=True)
    else:
        print(text(content, picture), flush=True)


def happenings(
    truth: AnnotatedVideo | None, classes: Sequence[str]
) -> dict[str, list[tuple[float, float]]] | None:
    """Return when each class is annotated in a video, None where nothing is."""
    if truth is None or not truth.annotations:
        return None
    found: dict[str, list[tuple[float, float]]] = {}
    for row in truth.annotations:
        found.setdefault(same_name(row.label, classes) or row.label, []).append(
            (row.start, row.end)
        )
    return found


def describe(
    watched: Watched,
    classes: Sequence[str],
    shares: Shares,
    spans: Sequence[Span],
    least: float,
    top: int,
) -> dict[str, Any]:
    """Return the JSON of a video's timeline."""
    whole = windowed_score(watched.scores)
    return {
        "video": watched.video,
        "sha256": watched.sha256,
        "recogniser": watched.recogniser,
        "seconds": watched.seconds,
        "sure_from": round(least, 4),
        "smoothed_seconds": SMOOTHED,
        "top": best_classes(softmax(whole), classes, top),
        "scores": {name: float(s) for name, s in zip(classes, whole, strict=True)},
        "spans": [
            {
                "start": span.start,
                "end": span.end,
                "class": None if span.label is None else classes[span.label],
                "share": round(span.share, 4),
            }
            for span in spans
        ],
        "timeline": [
            {"second": second, "top": best_classes(row, classes, top)}
            for second, row in enumerate(shares)
        ],
    }


def best_classes(shares: Shares, classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Return the best classes of shares (C,), in order."""
    best = np.argsort(-shares, kind="stable")[:top]
    return [{"class": classes[k], "share": round(float(shares[k]), 4)} for k in best]


def text(content: Mapping[str, Any], picture: Path) -> str:
    """Return what a video shows when, and as a whole, as people read it."""
    found = [span for span in content["spans"] if span["class"] is not None]
    width = max((len(span["class"]) for span in found), default=0)
    whole = ", ".join(f"{row['class']} {row['share']:.0%}" for row in content["top"])
    return "\n".join(
        [
            f"{shown(content['video'])} ({clock(content['seconds'])})",
            *(
                f"  {clock(span['start']):>7} to {clock(span['end']):>7}  "
                f"{span['class']:{width}}  {span['share']:6.1%}"
                for span in found
            ),
            *([] if found else [f"  no second is sure: none has {content['sure_from']:.0%}"]),
            f"  as a whole: {whole}",
            f"  {shown(picture)}",
        ]
    )


def precision_lines(
    found: Mapping[Path, Watched],
    classes: Sequence[str],
    truth: Mapping[Path, AnnotatedVideo],
    subset: str | None = None,
) -> list[str]:
    """Return the mean average precision over the annotated ones of the videos, in lines.

    subset: of those that count, None for all. ValueError if no video shows a class.
    """
    named = {video: truth[video] for video in found if video in truth}
    wanted = {video: row for video, row in named.items() if subset in (None, row.subset)}
    known = {video: row for video, row in wanted.items() if row.annotations}
    labels = {
        video: {same_name(label, classes) for label in labels_of([row])}
        for video, row in known.items()
    }
    shows = np.array([[name in labels[video] for name in classes] for video in known])
    if not shows.any():
        raise ValueError(
            f"none of the {len(found)} videos is annotated with a class of the recogniser"
            f"{f' in subset {subset}' if subset else ''}, so nothing can be counted; "
            "a video is found by its id: <id>.mp4 or v_<id>.mp4"
        )
    rows = {
        "windows (M-TWI)": np.stack([windowed_score(found[video].scores) for video in known]),
        "mean of all seconds": np.stack([found[video].scores.mean(axis=0) for video in known]),
    }
    count = int(shows.any(axis=0).sum())
    other = sorted(set(labels_of(known.values())) - set(classes))
    left_out = {"of other subsets": len(named) - len(wanted)}
    left_out["without annotations"] = len(wanted) - len(known)
    return [
        f"mean average precision over {len(known)} annotated videos and {count} classes",
        *(
            f"  {name:20} {np.nanmean(average_precisions(scores, shows)):6.1%}"
            for name, scores in rows.items()
        ),
        *([f"  not classes of the recogniser: {', '.join(other)}"] if other else []),
        *subset_lines(Counter(row.subset for row in known.values()), left_out),
    ]


def subset_lines(counts: Mapping[str, int], left_out: Mapping[str, int]) -> list[str]:
    """Return how many videos of each subset counted, and how many did not and why, in lines."""
    counted = ", ".join(f"{count} of {subset}" for subset, count in sorted(counts.items()))
    others = ", ".join(f"{count} {why}" for why, count in left_out.items() if count)
    return [
        f"  videos: {counted}",
        *([f"  left out: {others}"] if others else []),
        *(
            ["  warning: subsets are mixed, and one may have been trained on: --subset takes one"]
            if len(counts) > 1
            else []
        ),
    ]
