"""The temporal segment network (section 3) of a modality, and its parameter groups.

Letters: B videos, K segments, N snippets, C channels of a snippet, H, W, D features.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

# What rows build, too: a fingerprint is of the code that is loaded (stages.runtime.provenance).
from tsn.model import bn_inception, cnn_m  # noqa: F401
from tsn.model.backbones import backbone
from tsn.model.consensus import consensus
from tsn.model.consensus_layers import Consensus
from tsn.model.settings import LearningRateMultipliers, NetworkConfig

CLASSIFIER_STD = 0.001
BFLOAT16_SINCE = (8, 0)  # compute capability of the first GPUs that compute with it


class TemporalSegmentNetwork(nn.Module):
    """One backbone and classifier shared by all snippets, and the consensus of their scores."""

    def __init__(self, config: NetworkConfig, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.row = backbone(config.backbone)
        self.partial_bn = config.partial_bn
        self.backbone = self.row.build(in_channels)
        for name in self.row.dropouts:
            self.backbone.set_submodule(name, nn.Dropout(config.dropout))
        for layer in self.backbone.modules():
            if isinstance(layer, BatchNorm):
                layer.momentum = config.bn_momentum
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(self.row.feature_dim, num_classes)
        self.consensus = consensus(config.consensus, config.num_segments, self.row.feature_dim)
        self.train()

    def forward(self, snippets: Tensor) -> Tensor:
        """Return video scores (B, num_classes), before softmax, of snippets (B, K, C, H, W)."""
        features = self.backbone(snippets.flatten(0, 1))  # (B*K, C, H, W) to (B*K, D)
        scores = self.fc(self.dropout(features))
        videos = snippets.shape[:2]
        video_scores: Tensor = self.consensus(
            scores.reshape(*videos, -1), features.reshape(*videos, -1)
        )  # (B, K, classes) and (B, K, D)
        return video_scores

    def snippet_scores(self, snippets: Tensor) -> Tensor:
        """Return scores (N, num_classes), before softmax, of snippets (N, C, H, W) one by one."""
        scores: Tensor = self.fc(self.dropout(self.backbone(snippets)))
        return scores

    def train(self, mode: bool = True) -> "TemporalSegmentNetwork":
        """Set the mode as nn.Module does; with partial BN, frozen layers stay in evaluation."""
        super().train(mode)
        if self.partial_bn:
            freeze_partial_bn(self)
        return self


def build_network(
    config: NetworkConfig, *, in_channels: int, num_classes: int, generator: torch.Generator
) -> TemporalSegmentNetwork:
    """Return a network on the CPU, in training mode, whose weights the generator alone decides.

    A library's own initialisation is drawn from the generator's seed, all else from the generator.
    The classifier starts at N(0, 0.001) with bias 0. The global random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())  # for a library's own draws
        network = TemporalSegmentNetwork(config, in_channels=in_channels, num_classes=num_classes)
    if network.row.initialise is not None:
        network.row.initialise(network.backbone, generator)
    nn.init.normal_(network.fc.weight, std=CLASSIFIER_STD, generator=generator)
    nn.init.zeros_(network.fc.bias)
    return network


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes.

    precision: float32, bfloat16, or auto: bfloat16 on a GPU that has it, else float32. Weights,
    their gradients' sums and batch statistics are float32 in any case. With bfloat16, convolutions
    and matrix products take and give numbers of 8 significant bits; in float32, a GPU's
    convolutions may round what they take to TF32 (11 bits), which is PyTorch's default.
    """
    bfloat16 = precision == "bfloat16" or (
        precision == "auto"
        and device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= BFLOAT16_SINCE
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)


class Arriving:
    """A tensor that is copied to the host as soon as its device has it; `read` waits for that.

    It does not wait for what the device is given to do afterwards, as `tensor.cpu()` would: so the
    device has work while its results are read. On the CPU it is the tensor itself.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._copy = tensor.to("cpu", non_blocking=True)
        self._arrived: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(tensor.device))

    def read(self) -> Tensor:
        """Return the tensor, on the CPU."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copy


def freeze_partial_bn(network: TemporalSegmentNetwork) -> None:
    """Freeze statistics, scale and shift of every BN but the first (section 3.2, partial BN)."""
    for name, layer in network.backbone.named_modules():
        if isinstance(layer, BatchNorm) and name != network.row.first_bn:
            layer.eval()
            layer.requires_grad_(False)


def parameter_groups(
    network: TemporalSegmentNetwork, *, multipliers: LearningRateMultipliers
) -> list[dict[str, Any]]:
    """Return optimizer groups over every trainable parameter, each once; empty groups are left out.

    Each has "name", "params", and "lr_mult" and "decay_mult" for the caller to multiply its
    schedule's learning rate and weight decay with. Only convolution and classifier weights decay.
    """
    rates = {
        "first_conv_weight": (multipliers.first_conv_weight, 1.0),
        "first_conv_bias": (multipliers.first_conv_bias, 0.0),
        "weight": (1.0, 1.0),
        "bias": (multipliers.bias, 0.0),
        "batch_norm": (1.0, 0.0),
        "consensus": (1.0, 0.0),
        "other": (1.0, 0.0),
    }
    members: dict[str, list[nn.Parameter]] = {name: [] for name in rates}
    for group, parameter in _grouped_parameters(network):
        if parameter.requires_grad:
            members[group].append(parameter)
    return [
        {"name": name, "params": members[name], "lr_mult": lr_mult, "decay_mult": decay_mult}
        for name, (lr_mult, decay_mult) in rates.items()
        if members[name]
    ]


def _grouped_parameters(network: TemporalSegmentNetwork) -> Iterator[tuple[str, nn.Parameter]]:
    for layer_name, layer in network.named_modules():
        is_first = layer_name == f"backbone.{network.row.first_conv}"
        for name, parameter in layer.named_parameters(recurse=False):
            if isinstance(layer, BatchNorm):
                yield "batch_norm", parameter
            elif isinstance(layer, Consensus):
                yield "consensus", parameter
            elif isinstance(layer, nn.Conv2d | nn.Linear) and name in ("weight", "bias"):
                yield f"first_conv_{name}" if is_first else name, parameter
            else:  # another normalisation, positions, gains: as the scales of BN
                yield "other", parameter
