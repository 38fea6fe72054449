"""Weights come back bit for bit, with the card that says what they are, or are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_configs import NETWORK
from torch import Tensor

from tsn.model import checkpoint
from tsn.model.checkpoint import (
    INIT_SIDECAR,
    SIDECAR,
    ModelCard,
    load_card,
    load_initial,
    load_initial_card,
    load_model,
    refuse_other_cell,
    save_initial,
    save_model,
)
from tsn.model.initialisation import Source
from tsn.model.network import TemporalSegmentNetwork, build_network
from tsn.model.tensors import CheckpointError

CLASSES = ("Über Kopf", "b;c", "a")
CARD = ModelCard(
    dataset="synthetic",
    split=2,
    modality="flow",
    classes=CLASSES,
    input_size=32,
    network=replace(NETWORK, consensus="weighted_average"),
    iterations=7,
    fingerprint="f00d",
)


def network() -> TemporalSegmentNetwork:
    built = build_network(
        CARD.network, in_channels=10, num_classes=3, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        built.consensus.factors.copy_(torch.tensor([0.5, -1.0, 2.0]))
    return built


@pytest.fixture(scope="module")
def trained() -> TemporalSegmentNetwork:
    return network().to(memory_format=torch.channels_last)


@pytest.fixture
def folder(trained: TemporalSegmentNetwork, tmp_path: Path) -> Path:
    save_model(trained, CARD, tmp_path / "model")
    return tmp_path / "model"


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_model_comes_back_bit_for_bit_in_evaluation_mode(
    folder: Path, trained: TemporalSegmentNetwork
) -> None:
    loaded, card = load_model(folder)
    assert card == CARD
    assert equal(loaded.state_dict(), trained.state_dict())
    assert not loaded.training
    snippets = torch.randn(2, 3, 10, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, theirs = loaded(snippets), network().eval()(snippets)
    assert torch.equal(ours, theirs)


def test_saved_bytes_depend_on_the_weights_alone(
    folder: Path, trained: TemporalSegmentNetwork, tmp_path: Path
) -> None:
    save_model(network(), CARD, tmp_path / "again")  # the same weights in another memory layout
    for name in (checkpoint.WEIGHTS, checkpoint.SIDECAR):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_card_reads_without_the_weights(folder: Path) -> None:
    (folder / checkpoint.WEIGHTS).unlink()
    assert load_card(folder) == CARD
    text = (folder / checkpoint.SIDECAR).read_text(encoding="utf-8")
    assert "Über Kopf" in text
    assert json.loads(text)["network"]["num_segments"] == 3


def test_truncated_weights_are_refused(folder: Path) -> None:
    path = folder / checkpoint.WEIGHTS
    whole = path.read_bytes()
    for size in (0, 4, 200, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: not a complete"):
            load_model(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    card = replace(CARD, classes=(*CLASSES, "d"))
    save_model(network(), card, folder)
    with pytest.raises(CheckpointError, match=r"(?s)do not fit their sidecar.*fc\.weight"):
        load_model(folder)


def test_missing_files_are_refused_with_the_stage_to_run(folder: Path) -> None:
    (folder / checkpoint.WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors: no such weights; run"):
        load_model(folder)
    with pytest.raises(FileNotFoundError, match="no such model; run the train stage"):
        load_model(folder / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "ucf101"}, "trained for dataset 'synthetic', asked for 'ucf101'"),
        ({"split": 1}, "trained for split 2, asked for 1; train synthetic split 1 flow instead"),
        ({"name": "warped_flow"}, "trained for modality 'flow', asked for 'warped_flow'"),
        ({"classes": CLASSES[::-1]}, "trained for classes"),
    ],
)
def test_model_of_another_cell_is_refused(change: dict[str, object], message: str) -> None:
    cell = {"dataset": "synthetic", "split": 2, "name": "flow", "classes": CLASSES}
    refuse_other_cell(CARD, **cell, folder=Path("m"))
    with pytest.raises(CheckpointError, match=f"m/weights.json: {message}"):
        refuse_other_cell(CARD, **(cell | change), folder=Path("m"))


# -- initial weights ----------------------------------------------------------------------------


def test_initial_weights_come_back(tmp_path: Path) -> None:
    tensors = {"conv1_7x7_s2.bias": torch.arange(4.0)}
    other = {"conv1_7x7_s2.bias": torch.arange(2.0)}
    classifier = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    sources = {
        "rgb": Source(backbone=tensors),
        "flow": Source(backbone=other, classes=("a", "b"), classifier=classifier),
    }
    save_initial(tmp_path / "init", "checkpoints", "bn_inception_quarter", sources)
    loaded = load_initial(tmp_path / "init", "bn_inception_quarter")
    assert loaded.keys() == sources.keys()
    assert equal(loaded["rgb"].backbone, tensors) and not loaded["rgb"].classifier
    assert equal(loaded["flow"].backbone, other) and equal(loaded["flow"].classifier, classifier)
    assert (loaded["rgb"].classes, loaded["flow"].classes) == ((), ("a", "b"))


def test_training_from_scratch_has_no_initial_weights(tmp_path: Path) -> None:
    save_initial(tmp_path, "scratch", "bn_inception", {})
    assert load_initial(tmp_path, "bn_inception") == {}
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.INIT_SIDECAR]


def test_initial_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    save_initial(tmp_path, "scratch", "bn_inception", {})
    with pytest.raises(
        CheckpointError, match="are for bn_inception, the recipe trains bn_inception_half"
    ):
        load_initial(tmp_path, "bn_inception_half")
    with pytest.raises(FileNotFoundError, match="run the pretrain stage first"):
        load_initial(tmp_path / "nowhere", "bn_inception")


def test_sidecars_of_endless_brackets_are_refused(tmp_path: Path) -> None:
    for name in (SIDECAR, INIT_SIDECAR):
        (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=f"{SIDECAR}: not a sidecar"):
        load_card(tmp_path)
    with pytest.raises(CheckpointError, match=f"{INIT_SIDECAR}: not a sidecar"):
        load_initial_card(tmp_path)
