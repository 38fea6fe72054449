"""Stochastic gradient descent as the released solvers do it (PAPER.md section 2), for any network.

The loop is a generator of iterations: whoever runs it decides what to log and when to save.
Every draw (inputs, dropout) is a function of (seed, iteration) alone, so that a resumed training
is the uninterrupted one, bit for bit on the same kind of machine.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """SGD with a step schedule, counted in iterations of `batch_size` videos.

    A batch is accumulated from parts of `micro_batch` videos, so that one small device gives the
    same effective batch as many big ones.
    """

    iterations: int
    batch_size: int
    micro_batch: int
    base_lr: float
    lr_steps: tuple[int, ...]
    lr_factor: float
    momentum: float
    weight_decay: float
    clip_norm: float

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations is at least 1, got {self.iterations}")
        if self.batch_size < 1 or self.micro_batch < 1 or self.batch_size % self.micro_batch:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}"
            )
        if list(self.lr_steps) != sorted(set(self.lr_steps)):
            raise ValueError(f"lr_steps must rise, got {self.lr_steps}")
        if not all(0 < step < self.iterations for step in self.lr_steps):
            raise ValueError(
                f"lr_steps lie within the {self.iterations} iterations, got {self.lr_steps}"
            )
        for name in ("base_lr", "lr_factor", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is above 0, got {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay is 0 or more, got {self.weight_decay}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is in [0, 1), got {self.momentum}")


@dataclass(frozen=True)
class Iteration:
    """What one step of the solver saw: loss and accuracy are means over the batch."""

    iteration: int
    loss: float
    accuracy: float
    lr: float
    gradient_norm: float


def learning_rate(iteration: int, solver: SolverConfig) -> float:
    """The rate used by the 0-based iteration: base x factor^(steps passed)."""
    passed = sum(iteration >= step for step in solver.lr_steps)
    return solver.base_lr * solver.lr_factor**passed


def make_optimizer(groups: list[dict[str, Any]], solver: SolverConfig) -> torch.optim.SGD:
    """SGD over parameter groups that carry `lr_mult` and `decay_mult`."""
    optimizer = torch.optim.SGD(groups, lr=solver.base_lr, momentum=solver.momentum)
    for group in optimizer.param_groups:
        group["weight_decay"] = solver.weight_decay * group["decay_mult"]
    return optimizer


def micro_batches(
    stream: Dataset[tuple[Tensor, int]],
    solver: SolverConfig,
    *,
    device: torch.device,
    workers: int,
    start: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The micro-batches of iterations start.. of an endless stream, on the device."""
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        stream,
        batch_size=solver.micro_batch,
        sampler=range(start * solver.batch_size, solver.iterations * solver.batch_size),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
    )
    for inputs, labels in loader:
        yield inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def solve(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Iterator[tuple[Tensor, Tensor]],
    solver: SolverConfig,
    *,
    seed: int,
    start: int,
) -> Iterator[Iteration]:
    """Minimises the cross-entropy of network(x) over micro-batches (x, labels)."""
    parts = solver.batch_size // solver.micro_batch
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for iteration in range(start, solver.iterations):
        torch.manual_seed(_mix(seed, iteration))  # dropout: no generator can be handed to it
        lr = learning_rate(iteration, solver)
        for group in optimizer.param_groups:
            group["lr"] = lr * group["lr_mult"]
        optimizer.zero_grad(set_to_none=True)
        loss = accuracy = 0.0
        for _ in range(parts):
            x, labels = next(inputs)
            scores = network(x)
            part = nn.functional.cross_entropy(scores, labels) / parts
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
            accuracy += (scores.argmax(1) == labels).float().mean().item() / parts
        norm = nn.utils.clip_grad_norm_(parameters, solver.clip_norm).item()
        if not norm < float("inf"):
            raise FloatingPointError(
                f"iteration {iteration}: the gradient is not finite (loss {loss}); lower base_lr"
            )
        optimizer.step()
        yield Iteration(iteration, loss, accuracy, lr, norm)


def _mix(seed: int, iteration: int) -> int:
    return (seed * 1_000_003 + iteration) % 2**63


def momentum_state(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The momentum buffers by parameter name."""
    return {
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in network.named_parameters()
        if optimizer.state.get(parameter)
    }


def restore_momentum(
    optimizer: torch.optim.Optimizer, network: nn.Module, buffers: Mapping[str, Tensor]
) -> None:
    """Puts `momentum_state` back."""
    for name, parameter in network.named_parameters():
        if name in buffers:
            optimizer.state[parameter]["momentum_buffer"] = buffers[name].to(parameter.device)
