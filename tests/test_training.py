"""A temporal segment network under the solver: its draws and its parameter groups."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from tsn.modality import modality
from tsn.network import LearningRateMultipliers, NetworkConfig, build_network
from tsn.snippets import Augmentation, TrainingSnippets, listed_clips
from tsn.solver import SolverConfig
from tsn.splits import ListedVideo
from tsn.training import TrainingConfig, network_optimizer, train

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    seed=5,
    input_size=32,
    network=NetworkConfig(
        backbone="bn_inception_quarter",
        consensus="average",
        num_segments=3,
        dropout=0.5,
        partial_bn=True,
    ),
    augmentation=Augmentation(crop_scales=(1.0, 0.8), crop_positions=13, mirror=True),
    solver=SolverConfig(
        iterations=2,
        batch_size=2,
        micro_batch=1,
        base_lr=0.1,
        lr_steps=(1,),
        lr_factor=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        clip_norm=20.0,
    ),
    lr_multipliers=LearningRateMultipliers(bias=2.0, first_conv_weight=5.0, first_conv_bias=10.0),
)


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory, write_stream: Callable) -> TrainingSnippets:
    generator = np.random.default_rng(1)
    videos = {
        f"{name}/v.avi": generator.integers(0, 256, (16, 32, 40, 2), dtype=np.uint8)
        for name in "ab"
    }
    stream = write_stream(tmp_path_factory.mktemp("flow"), videos)
    listed = [ListedVideo(video, label, "g", ()) for label, video in enumerate(videos)]
    clips, _ = listed_clips(listed, stream, modality("flow"))
    return TrainingSnippets(
        clips,
        modality("flow"),
        num_segments=3,
        input_size=CONFIG.input_size,
        augmentation=CONFIG.augmentation,
        seed=CONFIG.seed,
    )


def test_same_seed_trains_the_same_network_whatever_reads_its_clips(
    snippets: TrainingSnippets,
) -> None:
    states, logs = [], []
    for workers in (0, 1):
        torch.manual_seed(workers)
        network = build_network(
            CONFIG.network,
            in_channels=10,
            num_classes=2,
            generator=torch.Generator().manual_seed(CONFIG.seed),
        )
        optimizer = network_optimizer(network, modality("flow"), CONFIG)
        logs.append(
            list(train(network, optimizer, snippets, CONFIG, device=CPU, workers=workers, start=0))
        )
        states.append(network.state_dict())
    assert logs[0] == logs[1]
    assert [step.iteration for step in logs[0]] == [0, 1]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize(
    ("name", "first_weight", "first_bias"), [("rgb", 1.0, 2.0), ("flow", 5.0, 10.0)]
)
def test_optimizer_carries_the_released_multipliers(
    name: str, first_weight: float, first_bias: float
) -> None:
    row = modality(name)
    network = build_network(
        CONFIG.network, in_channels=row.channels, num_classes=2, generator=torch.Generator()
    )
    groups = network_optimizer(network, row, CONFIG).param_groups
    carried = {id(p): group for group in groups for p in group["params"]}
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
        assert (group["lr_mult"], group["weight_decay"]) == (lr_mult, decay)


def test_input_smaller_than_the_network_can_take_is_refused() -> None:
    with pytest.raises(ValueError, match="input_size is at least 32 pixels, got 31"):
        replace(CONFIG, input_size=31)
