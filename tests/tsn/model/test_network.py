import dataclasses
from typing import Any

import pytest
import torch
from small_configs import NETWORK as CONFIG
from torch import Tensor, nn

from tsn.model.backbones import BACKBONES
from tsn.model.consensus import CONSENSUS
from tsn.model.network import (
    Arriving,
    TemporalSegmentNetwork,
    build_network,
    parameter_groups,
)
from tsn.model.settings import LearningRateMultipliers

WITH_BN = [name for name, row in BACKBONES.items() if row.first_bn is not None]
SLOW = {"resnet152": pytest.mark.slow}
MULTIPLIERS = LearningRateMultipliers(bias=2.0, first_conv_weight=5.0, first_conv_bias=10.0)


def network_with(*, in_channels: int = 3, seed: int = 0, **changes: Any) -> TemporalSegmentNetwork:
    return build_network(
        dataclasses.replace(CONFIG, **changes),
        in_channels=in_channels,
        num_classes=4,
        generator=torch.Generator().manual_seed(seed),
    )


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("consensus", [*CONSENSUS, "top:1"])
@pytest.mark.parametrize("num_segments", [1, 3])
def test_video_score_is_the_consensus_of_snippet_scores(consensus: str, num_segments: int) -> None:
    network = network_with(consensus=consensus, num_segments=num_segments).eval()
    snippets = noise(2, num_segments, 3, 32, 32)
    with torch.no_grad():
        scores = network(snippets)
        alone = torch.stack([network.snippet_scores(video) for video in snippets])
        features = torch.stack([network.backbone(video) for video in snippets])
        expected = network.consensus(alone, features)
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-7)
    assert scores.shape == (2, 4)
    assert scores.std() > 0


def test_build_depends_on_its_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = network_with(seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = network_with(seed=3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["fc.weight"], network_with(seed=4).state_dict()["fc.weight"])


def test_new_classifier_is_small_with_zero_bias() -> None:
    fc = network_with().fc
    assert fc.weight.shape == (4, 256)
    assert fc.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert fc.bias.abs().max() == 0


def test_dropout_acts_in_training_only() -> None:
    network = network_with(dropout=0.8)
    snippets = noise(2, 3, 3, 32, 32)
    with torch.no_grad():
        network.eval()
        assert torch.equal(network(snippets), network(snippets))
        network.train()
        assert not torch.equal(network(snippets), network(snippets))


def moved_statistics(network: TemporalSegmentNetwork, side: int = 32) -> set[str]:
    """Names of BN layers whose running statistics one training step on random snippets moves."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(noise(2, 3, 3, side, side) + 1).square().sum().backward()
    return {
        name.rsplit(".", 1)[0]
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, before[name])
    }


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=SLOW.get(name, ())) for name in WITH_BN),
        "timm:tf_efficientnet_lite0",
    ],
)
def test_partial_bn_lets_only_the_first_layer_learn_and_estimate(name: str) -> None:
    network, side = network_with(backbone=name), 75 if name == "inception_v3" else 32
    first = f"backbone.{network.row.first_bn}"
    assert moved_statistics(network, side) == {first}
    network.eval()
    assert moved_statistics(network, side) == set()
    network.train()
    assert moved_statistics(network, side) == {first}
    norms = [key for key, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms[0] == first and len(norms) > 1
    for key, parameter in network.named_parameters():
        frozen = key.rpartition(".")[0] in norms[1:]
        assert (parameter.grad is None) == frozen, key


def test_without_partial_bn_every_layer_learns_and_estimates() -> None:
    network = network_with(partial_bn=False)
    assert len(moved_statistics(network)) == 69
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("partial_bn", [True, False])
def test_parameter_groups_cover_what_trains_once(partial_bn: bool) -> None:
    network = network_with(consensus="weighted_average", partial_bn=partial_bn)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr_mult"], group["decay_mult"])
        for group in parameter_groups(network, multipliers=MULTIPLIERS)
        for parameter in group["params"]
    }

    def expected(name: str) -> tuple[float, float]:
        if name == "consensus.factors" or "_bn." in name:
            return (1.0, 0.0)
        if name.startswith("backbone.conv1_7x7_s2."):
            return (5.0, 1.0) if name.endswith("weight") else (10.0, 0.0)
        return (1.0, 1.0) if name.endswith("weight") else (2.0, 0.0)

    trainable = [name for name, p in network.named_parameters() if p.requires_grad]
    assert found == {name: expected(name) for name in trainable}
    # 69 convolutions and the classifier with biases, scale and shift of BN, the consensus.
    assert len(trainable) == 2 * 70 + 2 * (1 if partial_bn else 69) + 1


def test_parameter_groups_suit_an_optimizer_and_repeat_nothing() -> None:
    network = network_with()
    groups = parameter_groups(network, multipliers=MULTIPLIERS)
    assert [group["name"] for group in groups] == [
        "first_conv_weight",
        "first_conv_bias",
        "weight",
        "bias",
        "batch_norm",
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    counted = sum(len(group["params"]) for group in optimizer.param_groups)
    assert counted == sum(parameter.requires_grad for parameter in network.parameters())


def test_layers_of_other_kinds_learn_at_the_schedules_rate_without_decay() -> None:
    network = network_with()
    network.backbone.add_module("extra", nn.LayerNorm(4))
    groups = parameter_groups(network, multipliers=MULTIPLIERS)
    other = next(group for group in groups if group["name"] == "other")
    assert (other["lr_mult"], other["decay_mult"]) == (1.0, 0.0)
    assert other["params"] == list(network.backbone.get_submodule("extra").parameters())


def test_momentum_of_running_statistics_is_the_recipes() -> None:
    network = network_with(backbone="timm:tf_efficientnet_lite0", bn_momentum=0.25)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {layer.momentum for layer in norms} == {0.25}
    with pytest.raises(ValueError, match=r"bn_momentum must be in \(0, 1\], got 0.0"):
        network_with(bn_momentum=0.0)


def test_network_without_bn_refuses_to_freeze_it() -> None:
    with pytest.raises(ValueError, match="vgg16 has no batch normalisation to freeze"):
        dataclasses.replace(CONFIG, backbone="vgg16", partial_bn=True)
    assert not dataclasses.replace(CONFIG, backbone="vgg16", partial_bn=False).partial_bn


def test_dropout_inside_a_backbone_is_the_recipes() -> None:
    network = network_with(backbone="cnn_m_2048", partial_bn=False, dropout=0.75)
    dropouts = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in dropouts] == [0.75, 0.75]


def test_library_initialisation_depends_on_the_generator_alone() -> None:
    name = "timm:mobilenetv3_small_050"
    torch.manual_seed(1)
    first = network_with(backbone=name, seed=3).state_dict()
    torch.manual_seed(2)
    second = network_with(backbone=name, seed=3).state_dict()
    other = network_with(backbone=name, seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["backbone.conv_stem.weight"], other["backbone.conv_stem.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet"}, "'resnet'; valid are: bn_inception, bn_inception_half"),
        (
            {"consensus": "mean"},
            "'mean'; valid are: average, max, weighted_average, attention, top:",
        ),
        ({"num_segments": 0}, "num_segments must be 1 to 1000, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_config_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_multipliers_refuse_zero() -> None:
    with pytest.raises(ValueError, match=r"first_conv_bias must be positive, got 0"):
        dataclasses.replace(MULTIPLIERS, first_conv_bias=0.0)


def test_what_arrives_is_what_was_computed() -> None:
    with torch.inference_mode():
        assert Arriving(torch.ones(3) * 2).read().tolist() == [2.0, 2.0, 2.0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_arrives_does_not_wait_for_what_its_device_does_later() -> None:
    torch.cuda.synchronize()
    early = Arriving(torch.ones(3, device="cuda") * 2)
    torch.cuda._sleep(4_000_000_000)  # cycles: seconds
    assert early.read().tolist() == [2.0, 2.0, 2.0]
    assert not torch.cuda.current_stream().query()  # it is still at it
