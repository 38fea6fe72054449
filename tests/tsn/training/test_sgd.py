"""SGD against PyTorch's, and what it does not load."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from tsn.training.sgd import SGD, ParameterGroup


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(size, generator=generator)) for size in (3, (4, 5), 2)]


def gradients(step: int) -> list[Tensor | None]:
    """The last parameter has no gradient at first."""
    generator = torch.Generator().manual_seed(10 + step)
    found = [torch.randn(size, generator=generator) for size in (3, (4, 5), 2)]
    return [*found[:2], None if step == 0 else found[2]]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_pytorchs_to_the_bit(momentum: float) -> None:
    ours, theirs = parameters(), parameters()
    optimizer = SGD(
        groups=[
            ParameterGroup(parameters=ours[:1], lr_mult=1.0, weight_decay=5e-4),
            ParameterGroup(parameters=ours[1:], lr_mult=2.0, weight_decay=0.0),
        ],
        momentum=momentum,
    )
    reference = torch.optim.SGD(
        [{"params": theirs[:1], "weight_decay": 5e-4}, {"params": theirs[1:]}],
        lr=0.1,
        momentum=momentum,
    )
    for step in range(5):
        lr = 0.1 / (1 + step)
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in ours)
        for mine, other, gradient in zip(ours, theirs, gradients(step), strict=True):
            mine.grad = gradient
            other.grad = None if gradient is None else gradient.clone()
        for group, factor in zip(reference.param_groups, (1.0, 2.0), strict=True):
            group["lr"] = lr * factor
        optimizer.step(lr)
        reference.step()
        assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_a_step_does_not_load_pytorchs_compiler() -> None:
    program = """
import sys, torch
from tsn.training.sgd import SGD, ParameterGroup
p = torch.nn.Parameter(torch.ones(2))
p.grad = torch.ones(2)
group = ParameterGroup(parameters=[p], lr_mult=1.0, weight_decay=0.1)
SGD(groups=[group], momentum=0.9).step(0.1)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
