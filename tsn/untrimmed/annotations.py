"""What happens when in untrimmed videos, as ActivityNet and THUMOS14 publish it.

ActivityNet's JSON, v1.2 and v1.3, and THUMOS14 in the same form:

    {"database": {<id>: {"subset": "validation", "annotations": [{"label": "Archery",
     "segment": [12.5, 20.0]}]}}}

THUMOS14's folder of texts: `<class>_val.txt` and `<class>_test.txt`, lines `<video> start end`.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsn.names import name_problem, shown
from tsn.sources.folder import SourceError, SourceMissingError

AMBIGUOUS = "Ambiguous"  # THUMOS14's word for what is neither an action nor background
TEXT_SUBSETS = {"_val": "validation", "_test": "test"}


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """A class, as a folder can be named, and the seconds of a video that show it."""

    label: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class AnnotatedVideo:
    """The subset of a video, in small letters, and what it shows; all else is background.

    Where a subset's labels are withheld, as those of ActivityNet's `testing`, nothing is annotated.
    """

    subset: str
    annotations: tuple[Annotation, ...]


def read_annotations(path: Path) -> dict[str, AnnotatedVideo]:
    """Return the annotated videos of a JSON file, or of a folder of texts, by their ids.

    Raises SourceMissingError without one, SourceError for what is not of that form.
    """
    if path.is_dir():
        return _read_texts(path)
    if not path.is_file():
        raise SourceMissingError(f"{path}: no such annotations; expected a JSON file, or a folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not JSON in UTF-8 ({error})") from error
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise SourceError(f"{path}: expected an object `database` with videos, as of ActivityNet")
    found = {}
    for video, row in database.items():
        try:
            found[video] = _video(row)
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(
                f"{path}: {video}: expected a subset, and annotations of a label and a segment "
                f"[start, end] in seconds ({error!r})"
            ) from error
    return found


def find_video(name: str, videos: Mapping[str, AnnotatedVideo]) -> str | None:
    """Return the id that the stem of a file's name means, None without one.

    ActivityNet's files are often named v_<id>.
    """
    return next((stem for stem in (name, name.removeprefix("v_")) if stem in videos), None)


def annotated_files(
    files: Iterable[Path], videos: Mapping[str, AnnotatedVideo]
) -> dict[Path, AnnotatedVideo]:
    """Return what is annotated of those files that are videos of the annotations.

    Raises SourceError for two files of one video.
    """
    return {file: videos[video] for video, file in files_by_video(files, videos).items()}


def files_by_video(files: Iterable[Path], videos: Mapping[str, AnnotatedVideo]) -> dict[str, Path]:
    """Return the files that are videos of the annotations, by id.

    Raises SourceError for two files of one video.
    """
    found: dict[str, Path] = {}
    for file in files:
        video = find_video(file.stem, videos)
        if video is not None and (other := found.setdefault(video, file)) != file:
            raise SourceError(
                f"{shown(other)} and {shown(file)} are both video {video} of the annotations; "
                "leave one of them out"
            )
    return found


def labels_of(videos: Collection[AnnotatedVideo]) -> list[str]:
    """Return the names of all classes that videos show, sorted."""
    return sorted({row.label for video in videos for row in video.annotations})


def _video(row: Any) -> AnnotatedVideo:
    found = [_annotation(one["label"], *one["segment"]) for one in row["annotations"]]
    return AnnotatedVideo(
        subset=str(row["subset"]).lower(),
        annotations=tuple(one for one in found if one.label != AMBIGUOUS),
    )


def _annotation(label: object, start: Any, end: Any) -> Annotation:
    name = re.sub(r"[/\\]", "-", str(label)).strip(". ")
    if not name or name_problem(name):
        raise ValueError(f"label {label!r}, expected a name that a folder can have")
    first, last = float(start), float(end)
    if not (first >= 0 and first <= last < math.inf):
        raise ValueError(f"segment [{start}, {end}]")
    return Annotation(label=name, start=first, end=last)


def _read_texts(folder: Path) -> dict[str, AnnotatedVideo]:
    rows: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for path in sorted(folder.glob("*.txt")):
        ending = next((end for end in TEXT_SUBSETS if path.stem.endswith(end)), None)
        if ending is None:
            continue
        label = path.stem.removesuffix(ending)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                video, start, end = line.split()
                row = _annotation(label, start, end)
            except ValueError as error:
                raise SourceError(
                    f"{path} line {number}: expected `<video> start end` in seconds, got {line!r}"
                ) from error
            rows[video, TEXT_SUBSETS[ending]] += [row] if label != AMBIGUOUS else []
    if not rows:
        raise SourceError(f"{folder}: no <class>_val.txt or <class>_test.txt with lines in it")
    return {
        video: AnnotatedVideo(subset=subset, annotations=tuple(found))
        for (video, subset), found in rows.items()
    }
