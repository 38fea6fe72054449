"""A recogniser: a dataset's networks, fused, as one folder; a video file in, class scores out.

    recogniser.json          what it is made of, and the SHA-256 of the other files
    <modality>/weights.*     a network, as `tsn.checkpoint` writes it
    test_scores.csv          its scores on the test list of its split
    trained_on.txt           the SHA-256 of every video it was trained on, sorted

Nothing of it is a pickle, and loading it needs no params.yaml. Letters: V video, C class.
"""

import csv
import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from tsn.atomic import atomic_path, link_file, write_csv
from tsn.camera_motion import HomographyConfig
from tsn.checkpoint import SIDECAR, WEIGHTS, ModelCard, load_card, load_model
from tsn.excerpt import Excerpt, View, read_excerpt, snippet_reader
from tsn.extraction import library_versions
from tsn.fusion import weighted_sum
from tsn.lists import read_names, write_names
from tsn.metrics import Labels, Scores
from tsn.modality import MODALITIES, modality
from tsn.network import TemporalSegmentNetwork
from tsn.scoring import ScoringConfig, score_snippets, video_scores
from tsn.snippets import cut_testing_snippets
from tsn.store import hash_file
from tsn.streams import STREAMS, FramesConfig, Stream

CARD, TEST_SCORES, TRAINED_ON = "recogniser.json", "test_scores.csv", "trained_on.txt"
FORMAT = 1  # raise it when a folder of before can no longer be read as it was meant
SCORE_COLUMNS = ("video", "sha256", "label")

T = TypeVar("T")
logger = logging.getLogger(__name__)


class RecogniserError(ValueError):
    """A folder that is no recogniser, or not one that this code can use as it was meant."""


@dataclass(frozen=True, kw_only=True)
class PackageConfig:
    """The split whose networks make up the recogniser."""

    split: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network's part: the weight of its scores, how its stream is made, its weights' SHA-256.

    `stream_version` is that of `tsn.streams` when the network was trained.
    """

    modality: str
    weight: float
    stream_version: int
    stream: FramesConfig
    weights_sha256: str


@dataclass(frozen=True, kw_only=True)
class RecogniserCard:
    """What a recogniser is made of. Scores are added in the order of `members`.

    `libraries` are the versions it was made with; `test_scores_sha256` and `trained_on_sha256` are
    digests of those files. `fingerprint` is one of all this and of the networks' shape: equal ones
    give equal answers, and were tested and trained on the same videos.
    """

    format: int
    dataset: str
    split: int
    classes: tuple[str, ...]
    testing: ScoringConfig
    members: tuple[Member, ...]
    libraries: Mapping[str, str]
    test_scores_sha256: str
    trained_on_sha256: str
    fingerprint: str

    @property
    def combination(self) -> str:
        """The members' names, such as `rgb+flow`."""
        return "+".join(member.modality for member in self.members)


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """Fused scores (V, C) before softmax on a test list, with each video's SHA-256 and label."""

    __test__ = False  # not a test, whatever its name says to pytest

    classes: tuple[str, ...]
    videos: tuple[str, ...]
    sha256: tuple[str, ...]
    labels: Labels
    scores: Scores


class Recogniser:
    """Networks in evaluation mode on one device, and how their scores are made and fused.

    Flow is computed there, too, by as many threads as torch has. May be asked by several threads.
    """

    def __init__(
        self,
        card: RecogniserCard,
        networks: Mapping[str, TemporalSegmentNetwork],
        input_sizes: Mapping[str, int],
        device: torch.device,
    ) -> None:
        self.card = card
        self._networks = networks
        self._input_sizes = input_sizes
        self._device = device

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the scores."""
        return self.card.classes

    def score(self, video: Path) -> Scores:
        """The fused scores (C,) of a video file before softmax: those of the pipeline.

        Raises FileNotFoundError without the file, VideoError for one that cannot be read or is
        shorter than a snippet.
        """
        scores: dict[str, Scores] = {}
        for members in _by_frame_size(self.card.members):
            views = {member.modality: self._view(member) for member in members}
            excerpt = read_excerpt(video, list(views.values()))
            scores |= {name: self._score(excerpt, view) for name, view in views.items()}
        weights = {member.modality: member.weight for member in self.card.members}
        return weighted_sum(scores, weights)

    def _view(self, member: Member) -> View:
        row = modality(member.modality)
        return View(
            modality=row,
            stream=STREAMS[row.stream],
            config=member.stream,
            snippets=self.card.testing.snippets,
        )

    def _score(self, excerpt: Excerpt, view: View) -> Scores:
        row, testing = view.modality, self.card.testing
        crops = cut_testing_snippets(
            snippet_reader(excerpt, view, str(self._device), torch.get_num_threads()),
            view.stream.num_entries(excerpt.num_frames),
            row,
            snippets=testing.snippets,
            crops=testing.crops,
            size=self._input_sizes[row.name],
        )
        network = self._networks[row.name]
        snippets = score_snippets(network, crops, row, batch=testing.batch, device=self._device)
        scores: Scores = video_scores([snippets])[0]
        return scores


def softmax(scores: Scores) -> npt.NDArray[np.float64]:
    """Scores (..., C) as shares that sum to 1. They rank the classes, and are not calibrated."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    shares: npt.NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


def save_recogniser(
    folder: Path,
    *,
    models: Mapping[str, Path],
    weights: Mapping[str, float],
    streams: Mapping[str, FramesConfig],
    testing: ScoringConfig,
    tests: TestScores,
    trained_on: Iterable[str],
) -> RecogniserCard:
    """Write a recogniser of the model folders in `models`, and return its card.

    All mappings are by modality; `weights` says which are fused, and in which order. Weights are
    hard links where possible. Of a recogniser that was in the folder, nothing stays. Raises
    RecogniserError unless the models are of one dataset, split and class list, that of the test
    scores.
    """
    (folder / CARD).unlink(missing_ok=True)  # without it there is no recogniser
    networks = {name: load_card(models[name]) for name in weights}
    first = _common_card(networks, tests)
    for name in MODALITIES.keys() - weights.keys():
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    members = []
    for name, weight in weights.items():
        for file in (WEIGHTS, SIDECAR):
            link_file(models[name] / file, folder / name / file)
        members.append(
            Member(
                modality=name,
                weight=weight,
                stream_version=_stream(name).version,
                stream=streams[name],
                weights_sha256=hash_file(folder / name / WEIGHTS),
            )
        )
    _write_test_scores(tests, folder / TEST_SCORES)
    write_names(folder / TRAINED_ON, sorted(set(trained_on)))
    content = {
        "format": FORMAT,
        "dataset": first.dataset,
        "split": first.split,
        "classes": first.classes,
        "testing": asdict(testing),
        "members": [asdict(member) for member in members],
        "libraries": current_libraries(),
        "test_scores_sha256": hash_file(folder / TEST_SCORES),
        "trained_on_sha256": hash_file(folder / TRAINED_ON),
    }
    content["fingerprint"] = _fingerprint(content, networks)
    with atomic_path(folder / CARD) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8")
    return load_recogniser_card(folder)


def load_recogniser(folder: Path, device: torch.device) -> Recogniser:
    """The recogniser of a folder of `save_recogniser`, on `device`.

    Raises FileNotFoundError without one; RecogniserError for one of another version, with a key
    that is unknown or missing, or with anything changed since it was written.
    """
    folder = Path(folder)
    card = load_recogniser_card(folder)
    _warn_of_other_libraries(card)
    networks, input_sizes = {}, {}
    for member in card.members:
        name = member.modality
        network, sidecar = load_model(folder / name)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks[name], input_sizes[name] = network, sidecar.input_size
    return Recogniser(card, networks, input_sizes, device)


def load_recogniser_card(folder: Path) -> RecogniserCard:
    """The card of a recogniser's folder, whose files are what they were when it was written.

    Raises as `load_recogniser` does.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no recogniser there; run the package stage of a dataset")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecogniserError(f"{path}: not JSON ({error})") from error
    card = _parse_card(content, path)
    for file, digest in _named_files(card).items():
        if not (path.parent / file).is_file():
            raise FileNotFoundError(f"{path.parent / file}: missing; package the recogniser again")
        if hash_file(path.parent / file) != digest:
            raise RecogniserError(
                f"{path.parent / file}: not the file that {CARD} names by SHA-256; package it again"
            )
    networks = {row.modality: load_card(path.parent / row.modality) for row in card.members}
    if _fingerprint(content, networks) != card.fingerprint:
        raise RecogniserError(
            f"{path}: changed since it was written, or a network's {SIDECAR} was: the fingerprint "
            "is that of other contents; package it again"
        )
    return card


def read_test_scores(folder: Path) -> TestScores:
    """The fused scores of the recogniser on its split's test list, to the bit."""
    path = Path(folder) / TEST_SCORES
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    known = len(SCORE_COLUMNS)
    if tuple(header[:known]) != SCORE_COLUMNS:
        raise RecogniserError(f"{path}: expected the columns {', '.join(SCORE_COLUMNS)} first")
    classes = tuple(header[known:])
    return TestScores(
        classes=classes,
        videos=tuple(row[0] for row in rows),
        sha256=tuple(row[1] for row in rows),
        labels=np.array([int(row[2]) for row in rows], dtype=np.int64),
        scores=np.array([row[known:] for row in rows], np.float32).reshape(-1, len(classes)),
    )


def read_trained_on(folder: Path) -> frozenset[str]:
    """The SHA-256 of every video that the recogniser was trained on."""
    return frozenset(read_names(Path(folder) / TRAINED_ON))


def current_libraries() -> dict[str, str]:
    """The versions that decide, beside the card, what a recogniser answers."""
    return {**library_versions(), "torch": torch.__version__}


def _write_test_scores(tests: TestScores, path: Path) -> None:
    lines = zip(tests.videos, tests.sha256, tests.labels, tests.scores, strict=True)
    write_csv(
        path,
        (*SCORE_COLUMNS, *tests.classes),
        # The shortest text that reads as the same float32
        ((video, digest, label, *map(str, row)) for video, digest, label, row in lines),
    )


def _common_card(networks: Mapping[str, ModelCard], tests: TestScores) -> ModelCard:
    """Any of the cards, where all are of one dataset, split and class list."""
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


def _named_files(card: RecogniserCard) -> dict[str, str]:
    """The SHA-256 of every file that a card names, by its path in the folder."""
    return {
        **{f"{member.modality}/{WEIGHTS}": member.weights_sha256 for member in card.members},
        TEST_SCORES: card.test_scores_sha256,
        TRAINED_ON: card.trained_on_sha256,
    }


def _stream(name: str) -> Stream:
    return STREAMS[modality(name).stream]


def _by_frame_size(members: Sequence[Member]) -> list[list[Member]]:
    """Members whose frames are decoded and resized in one go."""

    def size(member: Member) -> tuple[int, int]:
        return member.stream.width, member.stream.height

    return [list(group) for _, group in groupby(sorted(members, key=size), key=size)]


def _fingerprint(content: Mapping[str, Any], networks: Mapping[str, ModelCard]) -> str:
    """The digest of a card's content and of the networks' shape."""
    shapes = {
        name: {"network": asdict(card.network), "input_size": card.input_size}
        for name, card in networks.items()
    }
    decisive = {**content, "networks": shapes}
    decisive.pop("fingerprint", None)
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _parse_card(content: Any, path: Path) -> RecogniserCard:
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise RecogniserError(
            f"{path}: of format {content['format']!r}, this code reads {FORMAT}; use the version "
            "of the code that wrote it, or package it again"
        )
    try:
        return RecogniserCard(
            **{
                **_keys(content, RecogniserCard, f"{path}"),
                "classes": tuple(content["classes"]),
                "testing": _record(content["testing"], ScoringConfig, f"{path}: testing"),
                "members": tuple(_parse_member(row, path) for row in content["members"]),
            }
        )
    except TypeError as error:
        raise RecogniserError(f"{path}: a value is of another type: {error}") from error


def _parse_member(content: Any, path: Path) -> Member:
    where = f"{path}: members"
    known = _keys(content, Member, where)
    name = content["modality"]
    try:
        stream = _stream(name)
    except ValueError as error:
        raise RecogniserError(f"{where}: {error}") from error
    if known["stream_version"] != stream.version:
        raise RecogniserError(
            f"{path}: its network of {name} was trained on version {known['stream_version']} of "
            f"stream {stream.name}, this code makes version {stream.version}; use the version of "
            "the code that wrote it, or train it again"
        )
    where = f"{path}: stream of {name}"
    settings = dict(_keys(content["stream"], stream.config_class, where))
    if "homography" in settings:
        settings["homography"] = _record(settings["homography"], HomographyConfig, where)
    return Member(**{**known, "stream": _record(settings, stream.config_class, where)})


def _record(content: Any, cls: type[T], where: str) -> T:
    try:
        return cls(**_keys(content, cls, where))
    except ValueError as error:
        raise RecogniserError(f"{where}: {error}") from error


def _keys(content: Any, cls: type, where: str) -> dict[str, Any]:
    """The content, where it is an object with exactly the fields of `cls`."""
    names = [field.name for field in fields(cls)]
    if not isinstance(content, dict):
        raise RecogniserError(f"{where}: expected an object, found {content!r:.60}")
    for key in [*content, *names]:
        if key not in names:
            raise RecogniserError(f"{where}: unknown key {key!r}; valid: {', '.join(names)}")
        if key not in content:
            raise RecogniserError(f"{where}: {key!r} is missing; expected: {', '.join(names)}")
    return content


def _warn_of_other_libraries(card: RecogniserCard) -> None:
    """Other versions may decode, compute or multiply a little differently."""
    here = current_libraries()
    other = [
        f"{name} {was} (here {here.get(name)})"
        for name, was in card.libraries.items()
        if was != here.get(name)
    ]
    if other:
        logger.warning(
            "the recogniser of %s was made with %s: its scores may differ a little",
            card.dataset,
            ", ".join(other),
        )
