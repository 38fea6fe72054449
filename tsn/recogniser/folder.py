"""A recogniser's folder: a dataset's networks, fused, and what they were tested and trained on.

    recogniser.json          what it is made of, and the SHA-256 of the other files
    <modality>/weights.*     a network, as `tsn.model.checkpoint` writes it
    test_scores.csv          its scores on the test list of its split
    trained_on.txt           the SHA-256 of every video it was trained on, sorted

Nothing of it is a pickle, and reading it needs no params.yaml. Letters: V video, C class.
"""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch

from tsn.files import file_sha256, json_sha256, link_file, write_csv, write_json
from tsn.lists import read_names, write_names
from tsn.metrics import Labels, Scores
from tsn.modality import MODALITIES, modality
from tsn.model.checkpoint import SIDECAR, WEIGHTS, ModelCard, load_card, refuse_other_cell
from tsn.recogniser.calibration import Calibration
from tsn.records import RecordError, record, require_keys
from tsn.scoring.fusion import describe_row
from tsn.scoring.score import ScoringConfig
from tsn.snippets.crops import testing_crops
from tsn.streams.extraction import library_versions
from tsn.streams.table import STREAMS, FramesConfig, Stream

CARD, TEST_SCORES, TRAINED_ON = "recogniser.json", "test_scores.csv", "trained_on.txt"
FORMAT = 3  # raise it when a folder of before can no longer be read as it was meant
VERSION = "0.1.0"  # of the project, by which a recogniser is made: that of pyproject.toml
PROJECT = "tsn"  # among the libraries that made a recogniser
SCORE_COLUMNS = ("video", "sha256", "label")
MAX_INPUT_BYTES = 8_000_000_000  # of what the networks are shown of a video: the paper's is 0.1 GB


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


def save_recogniser(
    folder: Path,
    *,
    models: Mapping[str, Path],
    combination: str,
    weights: Mapping[str, float],
    streams: Mapping[str, FramesConfig],
    testing: ScoringConfig,
    tests: ReferenceScores,
    trained_on: Iterable[str],
    calibration: Calibration | None = None,
) -> RecogniserCard:
    """Write a recogniser of the model folders in `models`, and return its card.

    All mappings are by modality; `weights` says which are fused, and in which order, and
    `combination` is their name. Networks' files are hard links where possible. Of a recogniser that
    was in the folder, nothing stays. Raises RecogniserError unless the models are of one dataset,
    split and class list, that of the test scores.
    """
    (folder / CARD).unlink(missing_ok=True)  # without it there is no recogniser
    networks = {name: load_card(models[name]) for name in weights}
    first = _common_card(networks, tests)
    for name in MODALITIES.keys() - weights.keys():
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    members = [
        _put_member(folder, name, models[name], weight, streams[name])
        for name, weight in weights.items()
    ]
    write_test_scores(tests, folder)
    write_names(folder / TRAINED_ON, sorted(set(trained_on)))
    content = {
        "format": FORMAT,
        "dataset": first.dataset,
        "split": first.split,
        "classes": first.classes,
        "testing": asdict(testing),
        "combination": combination,
        "members": [asdict(member) for member in members],
        "libraries": current_libraries(),
        "test_scores_sha256": file_sha256(folder / TEST_SCORES),
        "trained_on_sha256": file_sha256(folder / TRAINED_ON),
    }
    if calibration is not None:
        content["calibration"] = asdict(calibration)
    content["fingerprint"] = _fingerprint(content, networks)
    write_json(folder / CARD, content)
    return load_recogniser_card(folder)


def _put_member(
    folder: Path, name: str, model: Path, weight: float, stream: FramesConfig
) -> Member:
    """Put a network into the folder."""
    for file in (WEIGHTS, SIDECAR):
        link_file(model / file, folder / name / file)
    return Member(
        modality=name,
        weight=weight,
        stream_version=_stream(name).version,
        stream=stream,
        weights_sha256=file_sha256(folder / name / WEIGHTS),
    )


def load_recogniser_card(folder: Path) -> RecogniserCard:
    """Return the card of a recogniser's folder, whose files are what they were when it was written.

    Raises as `load_recogniser` does.
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
    card = _parse_card(content, path)
    for file, digest in _named_files(card).items():
        if not (path.parent / file).is_file():
            raise FileNotFoundError(f"{path.parent / file}: missing; package the recogniser again")
        if file_sha256(path.parent / file) != digest:
            raise RecogniserError(
                f"{path.parent / file}: not the file that {CARD} names by SHA-256; package it again"
            )
    networks = {row.modality: load_card(path.parent / row.modality) for row in card.members}
    if _fingerprint(content, networks) != card.fingerprint:
        raise RecogniserError(
            f"{path}: changed since it was written, or a network's {SIDECAR} was: the fingerprint "
            "is that of other contents; package it again"
        )
    for member in card.members:
        _refuse_misfit(card, member, networks[member.modality], path.parent / member.modality)
    return card


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


def current_libraries() -> dict[str, str]:
    """Return the versions that decide, beside the card, what a recogniser answers."""
    networks = {name: version(name) for name in ("torchvision", "timm")}
    versions = {**library_versions(), "torch": torch.__version__, **networks}
    return {**versions, PROJECT: VERSION}


def write_test_scores(tests: ReferenceScores, folder: Path) -> None:
    """Write scores, as `read_test_scores` reads them."""
    lines = zip(tests.videos, tests.sha256, tests.labels, tests.scores, strict=True)
    write_csv(
        folder / TEST_SCORES,
        (*SCORE_COLUMNS, *tests.classes),
        # The shortest text that reads as the same float32
        ((video, digest, label, *map(str, row)) for video, digest, label, row in lines),
    )


def _common_card(networks: Mapping[str, ModelCard], tests: ReferenceScores) -> ModelCard:
    """Return any of the cards, where all are of one dataset, split and class list."""
    first = next(iter(networks.values()))
    for name, card in networks.items():
        if card.modality != name:
            raise RecogniserError(f"the model given as {name} is one of {card.modality}")
        for field in ("dataset", "split", "classes"):
            found, wanted = getattr(card, field), getattr(first, field)
            if found != wanted:
                raise RecogniserError(
                    f"the networks do not belong together: {field} is {found!r} for {name}, "
                    f"{wanted!r} for {first.modality}"
                )
    if tests.classes != first.classes:
        raise RecogniserError("the test scores are of other classes than the networks")
    return first


def _refuse_misfit(card: RecogniserCard, member: Member, network: ModelCard, folder: Path) -> None:
    """Raise an error for a network of another cell, or one that no machine could show a video."""
    refuse_other_cell(network, card.dataset, card.split, member.modality, card.classes, folder)
    row, size, stream = modality(member.modality), network.input_size, member.stream
    where = f"{folder / SIDECAR}: input_size is {size}"
    if not 1 <= size <= min(stream.width, stream.height):
        raise RecogniserError(
            f"{where}, expected 1 to the frames' {min(stream.width, stream.height)} pixels"
        )
    crops = len(testing_crops(card.testing.crops, size, size, size))
    needed = card.testing.snippets * crops * row.channels * size**2
    if needed > MAX_INPUT_BYTES:
        raise RecogniserError(
            f"{where} and testing.snippets {card.testing.snippets}: a video would take "
            f"{needed / 1e9:.0f} GB, expected at most {MAX_INPUT_BYTES / 1e9:.0f}"
        )


def _named_files(card: RecogniserCard) -> dict[str, str]:
    """Return the SHA-256 of every file that a card names, by its path in the folder."""
    return {
        **{f"{member.modality}/{WEIGHTS}": member.weights_sha256 for member in card.members},
        TEST_SCORES: card.test_scores_sha256,
        TRAINED_ON: card.trained_on_sha256,
    }


def _stream(name: str) -> Stream:
    return STREAMS[modality(name).stream]


def _fingerprint(content: Mapping[str, Any], networks: Mapping[str, ModelCard]) -> str:
    """Return the digest of a card's content and of the networks' shape."""
    shapes = {
        name: {"network": asdict(card.network), "input_size": card.input_size}
        for name, card in networks.items()
    }
    decisive = {**content, "networks": shapes}
    decisive.pop("fingerprint", None)
    # The project's version alone changes no answer.
    decisive["libraries"] = {k: v for k, v in content["libraries"].items() if k != PROJECT}
    return json_sha256(decisive)


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
        stream = _stream(name)
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
