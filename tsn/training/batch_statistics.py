"""Whether batch normalisation has arrived at the statistics of what it sees.

In testing a layer takes its running statistics. A short training with a small momentum leaves
them where they started, at an ImageNet network's for example, and then testing fails where
training did well.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

MOST_VARIANCE_RATIO = 3.0  # of a layer's channels, in the median
MOST_SHIFT = 1.0  # standard deviations of the batch

logger = logging.getLogger(__name__)


@dataclass
class Seen:
    """The mean and variance (C,) of every micro-batch that a layer got."""

    layer: BatchNorm
    means: list[Tensor] = field(default_factory=list)
    variances: list[Tensor] = field(default_factory=list)

    def gap(self) -> tuple[float, float]:
        """Return how far the running statistics are from the batches', in the median channel.

        The ratio of the variances, the larger to the smaller, and the distance of the means in the
        batches' standard deviations.
        """
        running_mean, running_var = self.layer.running_mean, self.layer.running_var
        assert running_mean is not None and running_var is not None
        mean, variance = torch.stack(self.means).mean(0), torch.stack(self.variances).mean(0)
        smallest = torch.finfo(variance.dtype).tiny
        ratio = ((variance + smallest) / (running_var + smallest)).log().abs().median().exp()
        shift = ((mean - running_mean).abs() / (variance + smallest).sqrt()).median()
        return ratio.item(), shift.item()


@contextmanager
def watched(network: nn.Module) -> Iterator[dict[str, Seen]]:
    """Give what the BN layers that still learn their statistics see meanwhile, by layer."""
    seen = {
        name: Seen(layer)
        for name, layer in network.named_modules()
        if isinstance(layer, BatchNorm) and layer.training and layer.track_running_stats
    }

    def record(of: Seen, inputs: tuple[Tensor, ...]) -> None:
        with torch.no_grad():
            variance, mean = torch.var_mean(
                inputs[0].float(), [d for d in range(inputs[0].ndim) if d != 1]
            )
        of.means.append(mean)
        of.variances.append(variance)

    handles = [
        of.layer.register_forward_pre_hook(lambda _, inputs, of=of: record(of, inputs))
        for of in seen.values()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def warn_of_gaps(seen: dict[str, Seen]) -> None:
    """Log a warning about the layer whose running statistics are farthest from its batches'."""
    gaps = {name: of.gap() for name, of in seen.items() if of.means}
    far = {
        name: gap
        for name, gap in gaps.items()
        if not (gap[0] <= MOST_VARIANCE_RATIO and gap[1] <= MOST_SHIFT)
    }
    if not far:
        return
    worst = max(far, key=lambda name: far[name][0] if math.isfinite(far[name][0]) else math.inf)
    ratio, shift = far[worst]
    logger.warning(
        "the running statistics of %d of %d batch normalisations are far from their batches'. The "
        "farthest is %s: its variance is off by a factor of %.1f, its mean by %.1f standard "
        "deviations. Testing takes the running statistics: train longer, or give a batch more "
        "weight in them (bn_momentum)",
        *(len(far), len(gaps), worst, ratio, shift),
    )
