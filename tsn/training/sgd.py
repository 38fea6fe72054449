"""Stochastic gradient descent with momentum, as `torch.optim.SGD` does it, to the bit.

PyTorch's optimizers load its compiler when they are made, which takes longer than many a stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(kw_only=True)
class ParameterGroup:
    """Parameters that are treated alike: their learning rate is the iteration's times `lr_mult`."""

    parameters: Sequence[nn.Parameter]
    lr_mult: float
    weight_decay: float


@dataclass(kw_only=True)
class SGD:
    """An optimizer. `velocity` holds the momentum buffer of each parameter that has had a step."""

    groups: Sequence[ParameterGroup]
    momentum: float
    velocity: dict[Tensor, Tensor] = field(default_factory=dict)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all groups."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every parameter that has a gradient:

            v <- momentum v + gradient + weight_decay p,    p <- p - lr lr_mult v

        with v at the first step without its first term.
        """
        for group in self.groups:
            moved: list[Tensor] = [p for p in group.parameters if p.grad is not None]
            gradients = [p.grad for p in moved if p.grad is not None]
            if not moved:
                continue
            if group.weight_decay:
                gradients = list(torch._foreach_add(gradients, moved, alpha=group.weight_decay))
            if self.momentum:
                gradients = self._accelerate(moved, gradients)
            torch._foreach_add_(moved, gradients, alpha=-lr * group.lr_mult)

    def _accelerate(self, moved: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        old = [(p, g) for p, g in zip(moved, gradients, strict=True) if p in self.velocity]
        if old:
            velocities = [self.velocity[p] for p, _ in old]
            torch._foreach_mul_(velocities, self.momentum)
            torch._foreach_add_(velocities, [g for _, g in old])
        for parameter, gradient in zip(moved, gradients, strict=True):
            if parameter not in self.velocity:
                self.velocity[parameter] = gradient.clone()
        return [self.velocity[parameter] for parameter in moved]
