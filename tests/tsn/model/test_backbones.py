"""Every row against its library: same tensors in, same logits out, and what the row says of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import efficientnet_lite_pytorch
import pretrainedmodels
import pretrainedmodels.utils as pretrained_utils
import pytest
import timm
import timm.data
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum
from torchvision.transforms import functional

from tsn.modality import MODALITIES
from tsn.model.backbones import BACKBONES, backbone
from tsn.model.tensors import load_backbone_weights
from tsn.model.timm_backbones import WEIGHTS
from tsn.snippets.normalise import normalise

LITE, SMALL = "timm:tf_efficientnet_lite0", "timm:mobilenetv3_small_050"
TRANSFORMER = "timm:vit_tiny_patch16_224"
TORCHVISION = ("googlenet", "vgg16", "inception_v3", "resnet18", "resnet50", "resnet152")
SIDE = 64
Prepare = Callable[[Any], Tensor]  # of a PIL image


def lite_by_its_package(number: int) -> nn.Module:
    network: nn.Module = efficientnet_lite_pytorch.EfficientNet.from_name(
        f"efficientnet-lite{number}", image_size=SIDE
    )
    return network


# Row, what its library calls the same network, its classifier there, the side of an image.
LIBRARIES: list[Any] = [
    ("bn_inception", lambda: pretrainedmodels.bninception(pretrained=None), "last_linear", 224),
    ("resnet18", models.resnet18, "fc", SIDE),
    ("resnet50", models.resnet50, "fc", SIDE),
    ("googlenet", lambda: models.googlenet(init_weights=True), "fc", SIDE),
    ("inception_v3", lambda: models.inception_v3(init_weights=True), "fc", 299),
    (LITE, partial(timm.create_model, "tf_efficientnet_lite0"), "classifier", SIDE),
    *(
        (f"timm:tf_efficientnet_lite{number}", partial(lite_by_its_package, number), "_fc", SIDE)
        for number in (0, 1, 2)
    ),
    (SMALL, partial(timm.create_model, "mobilenetv3_small_050"), "classifier", SIDE),
    (TRANSFORMER, partial(timm.create_model, "vit_tiny_patch16_224"), "head", 224),
    pytest.param("resnet152", models.resnet152, "fc", SIDE, marks=pytest.mark.slow),
    pytest.param("vgg16", models.vgg16, "classifier.6", SIDE, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "library", "classifier", "side"), LIBRARIES)
def test_logits_are_those_of_the_library(
    tmp_path: Path,
    name: str,
    library: Callable[[], nn.Module],
    classifier: str,
    side: int,
) -> None:
    torch.manual_seed(1)
    theirs = settled(library(), side)
    torch.save(theirs.state_dict(), tmp_path / "public.pth")
    row = backbone(name)
    with torch.device("meta"):
        ours = row.build(3)  # without random weights, which take seconds
    ours.load_state_dict(load_backbone_weights(row, tmp_path / "public.pth"), assign=True)
    images = noise(1, 3, side, side)
    for dtype, tolerance in {torch.float64: 1e-10, torch.float32: 1e-4}.items():
        with torch.inference_mode():
            expected = theirs.to(dtype).eval()(images.to(dtype))
            logits = theirs.get_submodule(classifier)(ours.to(dtype).eval()(images.to(dtype)))
        assert expected.std() > 0
        assert (logits - expected).abs().max() <= tolerance * expected.abs().max()


def torchvision_input(name: str) -> Prepare:
    """What torchvision does to an image for its newest weights, part of it in its network."""
    weights = models.get_model_weights(name).DEFAULT
    preset = weights.transforms()

    def prepare(image: Any) -> Tensor:
        with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
            patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
            network = models.get_model(name, weights=weights)
        values = functional.normalize(functional.to_tensor(image), preset.mean, preset.std)
        if not getattr(network, "transform_input", False):
            return values
        return cast(Tensor, cast(Any, network)._transform_input(values[None])[0])

    return prepare


def timm_input(name: str) -> Prepare:
    """What timm does to an image that has the size already."""
    config = timm.data.resolve_data_config(timm.get_pretrained_cfg(name).to_dict())
    *_, to_tensor, normalise_ = timm.data.create_transform(**config).transforms
    return lambda image: normalise_(to_tensor(image))


def bn_inception_input(image: Any) -> Tensor:
    """What `pretrainedmodels` does to it."""
    settings = pretrainedmodels.pretrained_settings["bninception"]["imagenet"]
    values = pretrained_utils.ToSpaceBGR(settings["input_space"] == "BGR")(
        functional.to_tensor(image)
    )
    values = pretrained_utils.ToRange255(max(settings["input_range"]) == 255)(values)
    return functional.normalize(values, settings["mean"], settings["std"])


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("bn_inception_pytorch", bn_inception_input),
        *((name, torchvision_input(name)) for name in TORCHVISION),
        *((name, timm_input(name.removeprefix("timm:"))) for name in (LITE, SMALL, TRANSFORMER)),
    ],
)
def test_values_are_those_that_the_library_makes_of_an_image(name: str, library: Prepare) -> None:
    pixels = torch.randint(
        *(0, 256, (8, 8, 3)), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    expected = library(functional.to_pil_image(pixels.numpy()))
    bgr = pixels.permute(2, 0, 1).flip(0)
    ours = normalise(bgr, MODALITIES["rgb"], backbone(name).inputs)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert expected.flatten(1).std(dim=1).min() > 0.1


def settled(network: nn.Module, side: int) -> nn.Module:
    """A network whose running statistics are those of noise, so that its logits are of any size."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches
    network.train()
    with torch.no_grad():
        network(noise(2, 3, side, side))
    return network


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_cnn_m_has_the_published_maps() -> None:
    """Chatfield et al., 2014, Table 1: an image of 224 pixels, 3 channels."""
    network = backbone("cnn_m_2048").build(3)
    sides = {
        "conv1": 109,
        "pool1": 54,
        "conv2": 26,
        "pool2": 13,
        "conv5": 13,
        "pool5": 6,
        "side": 6,
    }
    images = torch.zeros(1, 3, 224, 224)
    for name, layer in network.named_children():
        images = layer(images)
        if name in sides:
            assert images.shape[-1] == sides[name]
    assert images.shape == (1, 2048)
    assert network.get_submodule("fc6").in_features == 512 * 6 * 6


@pytest.mark.parametrize("name", [*BACKBONES, LITE, TRANSFORMER])
def test_row_names_its_first_layers_for_any_input(name: str) -> None:
    row = backbone(name)
    for channels in {modality.channels for modality in MODALITIES.values()}:
        with torch.device("meta"):
            built = row.build(channels)
        assert built.get_submodule(row.first_conv).in_channels == channels
    with torch.device("meta"):
        ran = first_layers(built)
        features = built.eval()(torch.zeros(2, channels, 224, 224))
    assert features.shape == (2, row.feature_dim)
    assert ran["conv"] == row.first_conv
    assert ran.get("bn") == row.first_bn
    for dropout in row.dropouts:
        assert isinstance(built.get_submodule(dropout), nn.Dropout)


@pytest.mark.parametrize("name", [*BACKBONES, LITE])
def test_row_says_what_a_training_holds(name: str) -> None:
    """At least what the backward pass needs of each pixel; at most twice as much."""
    row = backbone(name)
    with torch.device("meta"):
        network, images = row.build(3), torch.zeros(2, 3, 224, 224)
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
    needed: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        needed[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = network(images)
    assert features.requires_grad
    size = sum(storage.nbytes() for key, storage in needed.items() if key not in weights)
    assert size <= row.pixel_bytes * 2 * 224**2 <= 2 * size
    count = sum(weight.numel() for weight in network.parameters())
    assert count == pytest.approx(row.weights, rel=0.05)
    if name == LITE:  # which stands for all of timm where PyTorch is not loaded
        assert count == pytest.approx(WEIGHTS, rel=0.05)


def first_layers(network: nn.Module) -> dict[str, str]:
    """The first convolution and BN that a forward pass runs; filled by it."""
    ran: dict[str, str] = {}
    for name, layer in network.named_modules():
        for kind, cls in {"conv": nn.Conv2d, "bn": nn.BatchNorm2d}.items():
            if isinstance(layer, cls):
                layer.register_forward_pre_hook(
                    lambda *_, kind=kind, name=name: ran.setdefault(kind, name) and None
                )
    return ran


def test_sizes_that_a_backbone_cannot_take_are_refused() -> None:
    for name, good, bad in (
        ("bn_inception", 64, 65),
        ("resnet18", 65, 31),
        ("inception_v3", 75, 74),
        (LITE, 128, 16),
        (TRANSFORMER, 224, 192),
    ):
        backbone(name).check_input_size(good)
        with pytest.raises(ValueError, match=f"input_size.* got {bad}"):
            backbone(name).check_input_size(bad)


def test_unknown_names_are_refused_with_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown backbone 'vgg'; valid are: bn_inception.*timm:"):
        backbone("vgg")
    with pytest.raises(ValueError, match=r"timm has no network 'resnet17'; it has.*resnet"):
        backbone("timm:resnet17")
