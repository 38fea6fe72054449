"""How a network starts: copied, across modalities, from scratch; or refused whole."""

from dataclasses import replace

import pytest
import torch
from small_configs import NETWORK
from torch import Tensor

from tsn.model.initialisation import Source, Start, cross_modality_conv, initialise
from tsn.model.network import TemporalSegmentNetwork, build_network

CLASSES = tuple("abcd")


def network_of(in_channels: int = 3, seed: int = 0, **changes: object) -> TemporalSegmentNetwork:
    return build_network(
        replace(NETWORK, **changes),  # type: ignore[arg-type]
        in_channels=in_channels,
        num_classes=4,
        generator=torch.Generator().manual_seed(seed),
    )


def rgb_state(seed: int = 9) -> dict[str, Tensor]:
    return network_of(seed=seed).backbone.state_dict()


def start(
    name: str,
    network: TemporalSegmentNetwork,
    sources: dict[str, dict[str, Tensor]],
    modality: str,
) -> None:
    """Start a network from backbones alone."""
    given = {key: Source(backbone=tensors) for key, tensors in sources.items()}
    initialise(
        name, Start(network=network, dataset="d", modality=modality, classes=CLASSES, sources=given)
    )


def test_cross_modality_conv_repeats_the_mean_over_rgb() -> None:
    # Output 0: means of (1, 4, 7) and (2, 5, 11); output 1: of (0, 3, 6) and (9, 0, 0).
    weight = torch.tensor(
        [[[[1.0, 2.0]], [[4.0, 5.0]], [[7.0, 11.0]]], [[[0.0, 9.0]], [[3.0, 0.0]], [[6.0, 0.0]]]]
    )
    converted = cross_modality_conv(weight, 4)
    assert converted.tolist() == [[[[4.0, 6.0]]] * 4, [[[3.0, 3.0]]] * 4]
    with pytest.raises(ValueError, match=r"\(O, 3, h, w\), got \(2, 4, 1, 2\)"):
        cross_modality_conv(converted, 10)


@pytest.mark.parametrize(("name", "channels"), [("rgb", 3), ("flow", 10)])
def test_weights_of_a_modality_are_copied(name: str, channels: int) -> None:
    network, state = network_of(channels), network_of(channels, seed=9).backbone.state_dict()
    start("copied", network, {name: state}, name)
    loaded = network.backbone.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    with pytest.raises(
        ValueError, match=f"needs weights of rgb_diff, and init makes those of {name};"
    ):
        start("copied", network, {name: state}, "rgb_diff")


@pytest.mark.parametrize("in_channels", [3, 10])
def test_weights_are_converted_across_modalities(in_channels: int) -> None:
    network, state = network_of(in_channels), rgb_state()
    start("cross_modality", network, {"rgb": state}, "flow")
    loaded = network.backbone.state_dict()
    first = loaded.pop("conv1_7x7_s2.weight")
    assert first.shape == (16, in_channels, 7, 7)
    for channel in range(in_channels):
        torch.testing.assert_close(first[:, channel], state["conv1_7x7_s2.weight"].mean(1))
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


def test_first_layer_of_another_library_is_converted() -> None:
    lite = "timm:tf_efficientnet_lite0"
    network, rgb = network_of(10, backbone=lite), network_of(3, seed=9, backbone=lite)
    state = rgb.backbone.state_dict()
    start("cross_modality", network, {"rgb": state}, "flow")
    first = network.backbone.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(first[:, 7], state["conv_stem.weight"].mean(1))


def test_from_scratch_stays_at_its_random_weights() -> None:
    network, before = network_of(), network_of().state_dict()
    start("scratch", network, {"rgb": rgb_state()}, "rgb")
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_weights_that_do_not_fit_are_refused_whole() -> None:
    network, state = network_of(10), rgb_state()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shape = r"conv1_7x7_s2.weight is \(16, 3, 7, 7\), expected \(16, 10, 7, 7\)"
    with pytest.raises(ValueError, match=shape):
        start("copied", network, {"flow": state}, "flow")
    with pytest.raises(ValueError, match=r"1 unexpected: fc\.weight"):
        more = {**state, "fc.weight": torch.ones(1)}
        start("cross_modality", network, {"rgb": more}, "flow")
    for name in ("inception_3b_1x1_bn.running_var", "conv1_7x7_s2.weight"):
        partial = {key: tensor for key, tensor in state.items() if key != name}
        with pytest.raises(ValueError, match=f"1 missing: {name}"):
            start("cross_modality", network, {"rgb": partial}, "flow")
    with pytest.raises(ValueError, match="needs weights of rgb, and init makes those of nothing"):
        start("cross_modality", network, {}, "flow")
    with pytest.raises(ValueError, match="unknown initialisation 'pretrained'; valid are: scratch"):
        start("pretrained", network, {}, "flow")
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_classifier_of_the_same_classes_goes_on_and_of_others_is_refused() -> None:
    network, trained = network_of(), network_of(seed=9)
    trained.fc.bias.data = torch.arange(4.0)
    state, classifier = dict(trained.backbone.state_dict()), dict(trained.fc.state_dict())

    def from_classes(classes: tuple[str, ...], dataset: str = "d") -> None:
        source = Source(backbone=state, classes=classes, classifier=classifier, dataset="ucf101")
        given = Start(
            network=network,
            dataset=dataset,
            modality="rgb",
            classes=CLASSES,
            sources={"rgb": source},
        )
        initialise("copied", given)

    for classes, message in (
        (("a", "c", "b", "d"), "label 1 is 'c' in the checkpoint, 'b' in the dataset"),
        (("a", "b"), "tells 2 classes apart, the dataset has 4"),
    ):
        with pytest.raises(ValueError, match=message):
            from_classes(classes)
    with pytest.raises(
        ValueError, match="were trained on ucf101 itself, and have seen test videos"
    ):
        from_classes(CLASSES, dataset="ucf101")
    from_classes(CLASSES)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        scores = network.eval().snippet_scores(images)
        assert torch.equal(scores, trained.eval().snippet_scores(images))
