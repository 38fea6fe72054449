from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tsn.model.bn_inception import (
    INCEPTIONS,
    BNInception,
    halving_max_pool,
    initialise,
)

# Reproduced from the public port: output (channels, side) of every module for a 224x224 image.
OUTPUTS = {
    "inception_3a": (256, 28),
    "inception_3b": (320, 28),
    "inception_3c": (576, 14),
    "inception_4a": (576, 14),
    "inception_4b": (576, 14),
    "inception_4c": (608, 14),
    "inception_4d": (608, 14),
    "inception_4e": (1056, 7),
    "inception_5a": (1024, 7),
    "inception_5b": (1024, 7),
}


def small_network(seed: int = 0) -> BNInception:
    network = BNInception(in_channels=3, width=1 / 8)
    initialise(network, torch.Generator().manual_seed(seed))
    return network.eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_layers_are_those_of_the_public_port() -> None:
    with torch.device("meta"):
        network = BNInception(in_channels=3, width=1.0)
    layers = dict(network.named_children())
    convolutions = {n: m for n, m in layers.items() if isinstance(m, nn.Conv2d)}
    norms = {n for n, m in layers.items() if isinstance(m, nn.BatchNorm2d)}
    assert len(layers) == 2 * 69
    assert len(convolutions) == 69
    assert norms == {f"{name}_bn" for name in convolutions}
    assert all(conv.bias is not None for conv in convolutions.values())
    # 11,295,240 of the public port, less its classifier of 1024 * 1000 + 1000.
    assert sum(p.numel() for p in network.parameters()) == 11_295_240 - 1_025_000
    assert "inception_3c_1x1" not in layers
    assert "inception_4e_pool_proj" not in layers


@pytest.mark.parametrize(
    ("name", "shape", "stride"),
    [
        ("conv1_7x7_s2", (64, 3, 7, 7), 2),
        ("conv2_3x3_reduce", (64, 64, 1, 1), 1),
        ("conv2_3x3", (192, 64, 3, 3), 1),
        ("inception_3a_pool_proj", (32, 192, 1, 1), 1),
        ("inception_3c_3x3", (160, 128, 3, 3), 2),
        ("inception_3c_double_3x3_1", (96, 64, 3, 3), 1),
        ("inception_3c_double_3x3_2", (96, 96, 3, 3), 2),
        ("inception_4a_1x1", (224, 576, 1, 1), 1),
        ("inception_4d_double_3x3_reduce", (160, 608, 1, 1), 1),
        ("inception_4e_double_3x3_2", (256, 256, 3, 3), 2),
        ("inception_5a_1x1", (352, 1056, 1, 1), 1),
        ("inception_5b_double_3x3_reduce", (192, 1024, 1, 1), 1),
        ("inception_5b_pool_proj", (128, 1024, 1, 1), 1),
    ],
)
def test_convolution_as_in_the_public_port(name: str, shape: tuple[int, ...], stride: int) -> None:
    with torch.device("meta"):
        conv = BNInception(in_channels=3, width=1.0).get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    assert tuple(conv.weight.shape) == shape
    assert conv.stride == (stride, stride)


def test_every_module_puts_out_the_published_size() -> None:
    network = BNInception(in_channels=3, width=1.0).eval()
    seen = record_inputs(network)
    with torch.no_grad():
        features = network(torch.zeros(1, 3, 224, 224))
    names = list(OUTPUTS)
    for name, following in pairwise(names):
        channels, side = OUTPUTS[name]
        assert seen[f"{following}_3x3_reduce"].shape == (1, channels, side, side)
    assert features.shape == (1, 1024)


def record_inputs(network: nn.Module) -> dict[str, Tensor]:
    """Fills a mapping from layer name to the layer's input at each forward pass."""
    seen: dict[str, Tensor] = {}
    for name, layer in network.named_children():
        layer.register_forward_pre_hook(
            lambda _, inputs, name=name: seen.__setitem__(name, inputs[0].clone())
        )
    return seen


def test_every_pool_is_the_published_one() -> None:
    network = small_network()
    seen = record_inputs(network)
    features = network(noise(2, 3, 64, 96))
    for row in INCEPTIONS:
        x = seen[f"{row.name}_3x3_reduce"]
        if row.name == "inception_5b":
            expected = F.max_pool2d(x, 3, stride=1, padding=1)
        else:
            expected = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=True)
        if row.pool_proj:
            assert torch.equal(seen[f"{row.name}_pool_proj"], expected)
    # A stride-2 module ends with its pooled input; the convolutions come before it.
    passed = seen["inception_3c_3x3_reduce"]
    assert torch.equal(seen["inception_4a_1x1"][:, -passed.shape[1] :], halving_max_pool(passed))
    assert features.shape == (2, 128)
    assert passed.std() > 0


def test_halving_pool_keeps_the_cut_last_window() -> None:
    row = torch.tensor([[[[0.0, 1.0, 2.0, 9.0]] * 4]])
    assert halving_max_pool(row).tolist() == [[[[2.0, 9.0], [2.0, 9.0]]]]


def test_features_equal_an_independent_walk_over_the_layers() -> None:
    network = small_network()
    image = noise(1, 3, 64, 64)

    def unit(name: str, x: Tensor) -> Tensor:
        layers = dict(network.named_children())
        return torch.relu(layers[f"{name}_bn"](layers[name](x)))

    x = F.max_pool2d(unit("conv1_7x7_s2", image), 3, 2, ceil_mode=True)
    x = unit("conv2_3x3", unit("conv2_3x3_reduce", x))
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for block in (row[-2:] for row in OUTPUTS):
        name = f"inception_{block}"
        three = unit(f"{name}_3x3", unit(f"{name}_3x3_reduce", x))
        double = unit(f"{name}_double_3x3_1", unit(f"{name}_double_3x3_reduce", x))
        double = unit(f"{name}_double_3x3_2", double)
        if block in ("3c", "4e"):
            x = torch.cat([three, double, F.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
            continue
        pooled = F.max_pool2d(x, 3, 1, 1) if block == "5b" else F.avg_pool2d(x, 3, 1, 1)
        one = unit(f"{name}_1x1", x)
        x = torch.cat([one, three, double, unit(f"{name}_pool_proj", pooled)], 1)
    assert torch.equal(network(image), x.mean((2, 3)))
    assert network(image).std() > 0


def test_width_scales_every_channel() -> None:
    with torch.device("meta"):
        full = BNInception(in_channels=10, width=1.0).state_dict()
        quarter = BNInception(in_channels=10, width=0.25).state_dict()
    assert full.keys() == quarter.keys()
    for name, tensor in full.items():
        if tensor.ndim:
            assert quarter[name].shape[0] * 4 == tensor.shape[0]
    assert quarter["conv1_7x7_s2.weight"].shape == (16, 10, 7, 7)
    assert quarter["inception_5b_1x1.weight"].shape == (88, 256, 1, 1)


@pytest.mark.parametrize("width", [0.0, -1.0, 0.3])
def test_width_without_whole_channels_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match=f"multiple of 1/32, got {width}"):
        BNInception(in_channels=3, width=width)


@pytest.mark.parametrize(
    ("height", "width", "refused"), [(80, 64, 80), (64, 112, 112), (0, 64, 0), (31, 31, 31)]
)
def test_image_side_that_breaks_a_module_is_refused(height: int, width: int, refused: int) -> None:
    with pytest.raises(ValueError, match=rf"multiples of 32 pixels.*got {refused}$"):
        small_network()(torch.zeros(1, 3, height, width))


def test_initialise_depends_on_its_generator_alone() -> None:
    torch.manual_seed(1)
    first = small_network(seed=3).state_dict()
    torch.manual_seed(2)
    second = small_network(seed=3).state_dict()
    other = small_network(seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv2_3x3.weight"], other["conv2_3x3.weight"])


def test_initialise_draws_as_the_released_prototxts_say() -> None:
    """Xavier over fan-in, 256 * 9 of this layer, and a bias of 0.2."""
    network = BNInception(in_channels=3, width=1.0)
    initialise(network, torch.Generator().manual_seed(0))
    conv = network.get_submodule("inception_4e_double_3x3_2")
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    assert conv.weight.std().item() == pytest.approx((1 / (256 * 9)) ** 0.5, rel=0.01)
    assert conv.weight.abs().max().item() == pytest.approx((3 / (256 * 9)) ** 0.5, rel=1e-4)
    assert conv.bias.unique().tolist() == [pytest.approx(0.2)]
