"""The card of a recogniser's folder, its test scores and its training videos: what is no network.

Nothing here loads PyTorch. `tsn.recogniser.folder` says what is in the folder. Letters: V video,
C class.
"""

import csv
import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from tsn.files import write_csv
from tsn.lists import read_names
from tsn.metrics import Labels, Scores
from tsn.modality import modality
from tsn.recogniser.calibration import Calibration
from tsn.records import RecordError, record, require_keys
from tsn.scoring.fusion import describe_row
from tsn.scoring.settings import ScoringConfig
from tsn.streams.table import STREAMS, FramesConfig

CARD, TEST_SCORES, TRAINED_ON = "recogniser.json", "test_scores.csv", "trained_on.txt"
FORMAT = 3  # raise it when a folder of before can no longer be read as it was meant
VERSION = "0.1.0"  # of the project, by which a recogniser is made: that of pyproject.toml
PROJECT = "tsn"  # among the libraries that made a recogniser
SCORE_COLUMNS = ("video", "sha256", "label")


class RecogniserError(ValueError):
    """A folder that is no recogniser, or not one that this code can use as it was meant."""


@dataclass(frozen=True, kw_only=True)
class PackageConfig:
    """The split whose networks make up the recogniser."""

    split: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network's part: the weight of its scores, how its stream is made, its weights' SHA-256.

    `stream_version` is that of `tsn.streams.table` when the network was trained.
    """

    modality: str
    weight: float
    stream_version: int
    stream: FramesConfig
    weights_sha256: str


@dataclass(frozen=True, kw_only=True)
class RecogniserCard:
    """What a recogniser is made of. Scores are added in the order of `members`.

    `combination` is the row of the results that it is: a combination's name, or one modality's.
    `calibration` is None where its scores give no probabilities, as in every folder from before
    there was one. `libraries` are the versions it was made with; `test_scores_sha256` and
    `trained_on_sha256` are digests of those files. `fingerprint` is one of all this and of the
    networks' shape: equal ones give equal answers, and were tested and trained on the same videos.
    """

    format: int
    dataset: str
    split: int
    classes: tuple[str, ...]
    testing: ScoringConfig
    combination: str
    members: tuple[Member, ...]
    calibration: Calibration | None = None
    libraries: dict[str, str]
    test_scores_sha256: str
    trained_on_sha256: str
    fingerprint: str

    def __post_init__(self) -> None:
        names = [member.modality for member in self.members]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"members: expected networks of different modalities, got {names}")
        if not self.classes or len(set(self.classes)) < len(self.classes):
            twice = [name for name, count in Counter(self.classes).items() if count > 1]
            raise ValueError(f"classes: expected different names, got {twice or 'none'} repeatedly")

    @property
    def weights(self) -> dict[str, float]:
        """Return the weight of each modality."""
        return {member.modality: member.weight for member in self.members}

    @property
    def description(self) -> str:
        """Return what is fused, as people read it: `two_stream: rgb + 1.5 flow`."""
        return describe_row(self.combination, self.weights)


@dataclass(frozen=True, kw_only=True)
class ReferenceScores:
    """Fused scores (V, C) before softmax on a test list, with each video's SHA-256 and label."""

    classes: tuple[str, ...]
    videos: tuple[str, ...]
    sha256: tuple[str, ...]
    labels: Labels
    scores: Scores


def read_card(folder: Path) -> tuple[RecogniserCard, dict[str, Any]]:
    """Return a folder's card and the JSON that it is; whether the other files fit is not asked.

    Raises FileNotFoundError without one, RecogniserError for one that is none of this code's.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no recogniser there; `tsn repro` makes one (`tsn repro --quick` does not)"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecogniserError(f"{path}: not JSON ({error})") from error
    return _parse_card(content, path), content


def read_test_scores(folder: Path) -> ReferenceScores:
    """Return the fused scores of a recogniser on its split's test list, to the bit."""
    path = Path(folder) / TEST_SCORES
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecogniserError(f"{path}: not CSV in UTF-8 ({error}); package it again") from error
    known = len(SCORE_COLUMNS)
    if tuple(header[:known]) != SCORE_COLUMNS:
        raise RecogniserError(f"{path}: expected the columns {', '.join(SCORE_COLUMNS)} first")
    classes = tuple(header[known:])
    for number, row in enumerate(rows, 2):
        if not _is_scored(row, len(classes)):
            raise RecogniserError(
                f"{path}: row {number}: expected the label of a class, and a finite score for each"
            )
    return ReferenceScores(
        classes=classes,
        videos=tuple(row[0] for row in rows),
        sha256=tuple(row[1] for row in rows),
        labels=np.array([int(row[2]) for row in rows], dtype=np.int64),
        scores=np.array([row[known:] for row in rows], np.float32).reshape(-1, len(classes)),
    )


def _is_scored(row: list[str], classes: int) -> bool:
    """Return whether a row of test scores has a label and a finite score for each class."""
    try:
        label, scores = int(row[2]), np.array(row[len(SCORE_COLUMNS) :], np.float32)
    except (ValueError, IndexError):
        return False
    return 0 <= label < classes and len(scores) == classes and bool(np.isfinite(scores).all())


def read_trained_on(folder: Path) -> frozenset[str]:
    """Return the SHA-256 of every video that the recogniser was trained on."""
    path = Path(folder) / TRAINED_ON
    try:
        return frozenset(read_names(path))
    except UnicodeDecodeError as error:
        raise RecogniserError(f"{path}: not text in UTF-8 ({error}); package it again") from error


def write_test_scores(tests: ReferenceScores, folder: Path) -> None:
    """Write scores, as `read_test_scores` reads them."""
    lines = zip(tests.videos, tests.sha256, tests.labels, tests.scores, strict=True)
    write_csv(
        folder / TEST_SCORES,
        (*SCORE_COLUMNS, *tests.classes),
        # The shortest text that reads as the same float32
        ((video, digest, label, *map(str, row)) for video, digest, label, row in lines),
    )


def _parse_card(content: Any, path: Path) -> RecogniserCard:
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        libraries = content.get("libraries")
        version = libraries.get(PROJECT) if isinstance(libraries, dict) else None
        raise RecogniserError(
            f"{path}: of format {content['format']!r}, made by "
            f"{f'version {version}' if version else 'an older version'} of this project; version "
            f"{VERSION} reads format {FORMAT}; use the one that made it, or package it again"
        )
    if isinstance(content, dict):
        content = {"calibration": None, **content}
    try:
        hints = _fields(content, RecogniserCard, "")
        del hints["members"]  # each has a stream of its own class
        known = {name: record(content[name], hint, name) for name, hint in hints.items()}
        rows = content["members"]
        if not isinstance(rows, list):
            raise RecordError(f"members: expected a list, got {rows!r}")
        members = tuple(_parse_member(row, f"members[{n}]") for n, row in enumerate(rows))
        return RecogniserCard(**known, members=members)
    except (ValueError, RecursionError) as error:
        raise RecogniserError(f"{path}: {error}") from error


def _parse_member(content: Any, where: str) -> Member:
    hints = _fields(content, Member, where)
    name = record(content["modality"], str, f"{where}.modality")
    try:
        stream = STREAMS[modality(name).stream]
    except ValueError as error:
        raise RecordError(f"{where}.modality: {error}") from error
    if content["stream_version"] != stream.version:
        raise RecordError(
            f"the network of {name} was trained on version {content['stream_version']} of stream "
            f"{stream.name}, this code makes version {stream.version}; use the version of the code "
            "that wrote it, or train it again"
        )
    hints["stream"] = stream.config_class
    return Member(**{key: record(content[key], hints[key], f"{where}.{key}") for key in hints})


def _fields(content: Any, cls: type, where: str) -> dict[str, Any]:
    """Return the types of a dataclass's fields, all of which the content has, and no other."""
    require_keys(content, tuple(field.name for field in fields(cls)), where)
    return get_type_hints(cls)
