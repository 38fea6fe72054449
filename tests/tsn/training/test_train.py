"""A temporal segment network under the solver: its draws and its parameter groups."""

from dataclasses import replace

import pytest
import torch

from tsn.modality import modality
from tsn.model.network import build_network
from tsn.snippets.dataset import TrainingSnippets
from tsn.training.train import TrainingConfig, network_optimizer, train

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
        optimizer = network_optimizer(network, modality("flow"), tiny_training)
        logs.append(
            list(
                train(
                    network,
                    optimizer,
                    tiny_snippets,
                    tiny_training,
                    device=CPU,
                    workers=workers,
                    start=0,
                )
            )
        )
        states.append(network.state_dict())
    assert logs[0] == logs[1]
    assert [step.iteration for step in logs[0]] == [0, 1, 2, 3]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize(
    ("name", "first_weight", "first_bias"), [("rgb", 1.0, 2.0), ("flow", 5.0, 10.0)]
)
def test_optimizer_carries_the_released_multipliers(
    tiny_training: TrainingConfig, name: str, first_weight: float, first_bias: float
) -> None:
    row = modality(name)
    network = build_network(
        tiny_training.network, in_channels=row.channels, num_classes=2, generator=torch.Generator()
    )
    groups = network_optimizer(network, row, tiny_training).param_groups
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


def test_input_smaller_than_the_network_can_take_is_refused(tiny_training: TrainingConfig) -> None:
    with pytest.raises(
        ValueError, match=r"input_size: BN-Inception takes multiples of 32 pixels .*, got 31"
    ):
        replace(tiny_training, input_size=31)
