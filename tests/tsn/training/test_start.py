"""A training put together: its draws, its parameter groups, what it is made of."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tsn.files import write_csv
from tsn.lists import COLUMNS, write_names
from tsn.modality import modality
from tsn.model.checkpoint import save_initial
from tsn.model.initialisation import Source
from tsn.model.network import build_network
from tsn.model.settings import LearningRateMultipliers
from tsn.snippets.dataset import TrainingSnippets
from tsn.training.settings import TrainingConfig
from tsn.training.start import (
    TrainingInputs,
    draw_inputs,
    network_training,
    prepare_training,
)

CPU = torch.device("cpu")


def test_same_seed_trains_the_same_network_whatever_reads_its_clips(
    tiny_training: TrainingConfig, tiny_snippets: TrainingSnippets
) -> None:
    states, logs = [], []
    for workers in (0, 1):
        torch.manual_seed(workers)
        network = build_network(
            tiny_training.network,
            in_channels=10,
            num_classes=3,
            generator=torch.Generator().manual_seed(tiny_training.seed),
        )
        training = network_training(
            network, tiny_snippets, tiny_training, device=CPU, workers=workers
        )
        logs.append(list(training.iterate(0)))
        states.append(network.state_dict())
    assert logs[0] == logs[1]
    assert [step.iteration for step in logs[0]] == [0, 1, 2, 3]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize(
    ("name", "first_weight", "first_bias"),
    [("rgb", 1.0, 2.0), ("rgb", 3.0, 4.0), ("rgb_diff", 1.0, 2.0), ("flow", 5.0, 10.0)],
)
def test_optimizer_carries_the_recipes_multipliers_whatever_the_modality(
    tiny_training: TrainingConfig,
    tiny_snippets: TrainingSnippets,
    name: str,
    first_weight: float,
    first_bias: float,
) -> None:
    row = modality(name)
    network = build_network(
        tiny_training.network, in_channels=row.channels, num_classes=2, generator=torch.Generator()
    )
    snippets = copy.copy(tiny_snippets)
    snippets.modality = row
    multipliers = LearningRateMultipliers(
        bias=2.0, first_conv_weight=first_weight, first_conv_bias=first_bias
    )
    config = replace(tiny_training, lr_multipliers=multipliers)
    training = network_training(network, snippets, config, device=CPU, workers=0)
    groups = training.optimizer.groups
    carried = {id(p): group for group in groups for p in group.parameters}
    first_conv = network.backbone.conv1_7x7_s2
    expected = {
        first_conv.weight: (first_weight, 5e-4),
        first_conv.bias: (first_bias, 0.0),
        network.backbone.conv1_7x7_s2_bn.weight: (1.0, 0.0),
        network.fc.weight: (1.0, 5e-4),
        network.fc.bias: (2.0, 0.0),
    }
    for parameter, (lr_mult, decay) in expected.items():
        group = carried[id(parameter)]
        assert (group.lr_mult, group.weight_decay) == (lr_mult, decay)


def test_input_smaller_than_the_network_can_take_is_refused(tiny_training: TrainingConfig) -> None:
    with pytest.raises(
        ValueError, match=r"input_size: this backbone takes multiples of 32 pixels .*, got 31"
    ):
        replace(tiny_training, input_size=31)


def test_partial_bn_from_scratch_is_refused(tiny_training: TrainingConfig) -> None:
    frozen = replace(tiny_training.network, partial_bn=True)
    with pytest.raises(ValueError, match="freezes statistics that a network from scratch has not"):
        replace(tiny_training, initialisation="scratch", network=frozen)
    assert replace(tiny_training, initialisation="copied", network=frozen).network.partial_bn


@pytest.fixture
def inputs(tmp_path: Path, write_stream: Callable[..., Path]) -> TrainingInputs:
    """The files of a training of rgb on two videos, which starts from given weights."""
    videos = {f"{name}/v.avi": np.full((8, 40, 48, 3), 9, np.uint8) for name in "ab"}
    write_stream(tmp_path / "rgb", videos)
    rows = ((video, label, "g", "") for label, video in enumerate(videos))
    write_csv(tmp_path / "train.csv", COLUMNS, rows)
    write_names(tmp_path / "classes.txt", "ab")
    save_initial(tmp_path / "init", "scratch", "bn_inception_quarter", {})
    return TrainingInputs(
        dataset="toy",
        split=2,
        modality="rgb",
        classes=tmp_path / "classes.txt",
        list=tmp_path / "train.csv",
        stream=tmp_path / "rgb",
        init=tmp_path / "init",
    )


def test_training_is_made_of_its_files(
    inputs: TrainingInputs, tiny_training: TrainingConfig
) -> None:
    learning = replace(tiny_training.network, partial_bn=False)
    scratch = replace(tiny_training, initialisation="scratch", network=learning)
    prepared = prepare_training(inputs, scratch, "f00d", device=CPU, workers=0)
    assert (prepared.card.dataset, prepared.card.split, prepared.card.classes) == (
        "toy",
        2,
        ("a", "b"),
    )
    assert prepared.card.fingerprint == "f00d"
    assert [clip.video for clip in prepared.snippets.clips] == ["a/v.avi", "b/v.avi"]
    names = [path.name for path in inputs.files]
    assert names == ["classes.txt", "train.csv", "manifest.csv", "init.json"]
    assert inputs.name == "toy-2-rgb"

    weights = {
        name: torch.full_like(tensor, 0.5)
        for name, tensor in prepared.training.network.backbone.state_dict().items()
    }
    save_initial(inputs.init, "pretext", "bn_inception_quarter", {"rgb": Source(backbone=weights)})
    assert [path.name for path in inputs.files][-1] == "rgb.safetensors"
    started = prepare_training(inputs, tiny_training, "f00d", device=CPU, workers=0)
    state = started.training.network.backbone.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())


def test_inputs_are_drawn_as_many_rows_as_videos(
    tiny_snippets: TrainingSnippets, tmp_path: Path
) -> None:
    draw_inputs(tiny_snippets, tmp_path / "inputs.png")
    image = cv2.imread(str(tmp_path / "inputs.png"))
    assert image.shape[0] % 6 == 0
    (tmp_path / "none").write_text("a file")
    with pytest.raises(OSError, match="none"):
        draw_inputs(tiny_snippets, tmp_path / "none/inputs.png")
