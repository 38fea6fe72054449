"""A recogniser's folder: a dataset's networks, fused, and what they were tested and trained on.

    recogniser.json          what it is made of, and the SHA-256 of the other files
    <modality>/weights.*     a network, as `tsn.model.checkpoint` writes it
    test_scores.csv          its scores on the test list of its split
    trained_on.txt           the SHA-256 of every video it was trained on, sorted

Nothing of it is a pickle, and reading it needs no params.yaml. Letters: V video, C class.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tsn.files import file_sha256, json_sha256, link_file, write_json
from tsn.lists import write_names
from tsn.modality import MODALITIES, modality
from tsn.model.checkpoint import SIDECAR, WEIGHTS, ModelCard, load_card, refuse_other_cell
from tsn.recogniser.calibration import Calibration
from tsn.recogniser.card import (
    CARD,
    FORMAT,
    PROJECT,
    TEST_SCORES,
    TRAINED_ON,
    VERSION,
    Member,
    RecogniserCard,
    RecogniserError,
    ReferenceScores,
    read_card,
    write_test_scores,
)
from tsn.scoring.settings import ScoringConfig
from tsn.snippets.crops import testing_crops
from tsn.streams.extraction import library_versions
from tsn.streams.table import STREAMS, FramesConfig, Stream

MAX_INPUT_BYTES = 8_000_000_000  # of what the networks are shown of a video: the paper's is 0.1 GB


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
    card, content = read_card(folder)
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


def current_libraries() -> dict[str, str]:
    """Return the versions that decide, beside the card, what a recogniser answers."""
    networks = {name: version(name) for name in ("torchvision", "timm")}
    versions = {**library_versions(), "torch": torch.__version__, **networks}
    return {**versions, PROJECT: VERSION}


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
