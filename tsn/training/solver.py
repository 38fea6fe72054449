"""Stochastic gradient descent as the released solvers do it (docs/paper.md), for any network.

The loop is a generator of iterations: whoever runs it decides what to log and when to save.
Every draw (inputs, dropout) is a function of the seed and the number of the micro-batch alone. So a
resumed training is the uninterrupted one, bit for bit on the same kind of machine, and one in
several processes differs in the order of float sums only (tsn.training.data_parallel).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch.utils.data import DataLoader, Dataset

from tsn.model.network import Arriving, computing_in
from tsn.training.batch_statistics import Seen, warn_of_gaps, watched
from tsn.training.data_parallel import ALONE, Share, agree_on_start, summed
from tsn.training.settings import SolverConfig
from tsn.training.sgd import SGD, ParameterGroup

# The parts of an iteration, as PyTorch's profiler sees them (tsn.training.profile).
LOAD, TRANSFER, FORWARD, BACKWARD, UPDATE = PARTS = (
    *("load", "transfer", "forward", "backward", "update"),
)


@dataclass(frozen=True)
class Iteration:
    """What one step of the solver saw: loss and accuracy are means over the batch."""

    iteration: int
    loss: float
    accuracy: float
    lr: float
    gradient_norm: float


@dataclass(frozen=True)
class Step:
    """A step of the solver that its device has been given to do; `read` waits for it.

    outcome: loss and accuracy of each micro-batch, (parts, 2); norm: the gradient's, before it was
    clipped; waited: seconds in which the step waited for its inputs.
    """

    iteration: int
    lr: float
    outcome: Arriving
    norm: Arriving
    waited: float

    def read(self) -> Iteration:
        """Return what the step saw. Raises FloatingPointError if its gradient was not finite."""
        loss, accuracy = (
            math.fsum(column) / len(column) for column in self.outcome.read().T.tolist()
        )
        norm = self.norm.read().item()
        if not norm < math.inf:
            raise FloatingPointError(
                f"iteration {self.iteration}: the gradient is not finite (loss {loss}); "
                "lower base_lr"
            )
        return Iteration(self.iteration, loss, accuracy, self.lr, norm)


def read_late(steps: Iterator[Step], ahead: int) -> Iterator[Iteration]:
    """Yield what each step saw, once so many more have been launched or all have."""
    unread: deque[Step] = deque()
    for step in steps:
        unread.append(step)
        if len(unread) > ahead:
            yield unread.popleft().read()
    for step in unread:
        yield step.read()


def learning_rate(iteration: int, solver: SolverConfig) -> float:
    """Return the rate used by the 0-based iteration: base x factor^(steps passed)."""
    passed = sum(iteration >= step for step in solver.lr_steps)
    return solver.base_lr * solver.lr_factor**passed


def make_optimizer(groups: Sequence[Mapping[str, Any]], solver: SolverConfig) -> SGD:
    """Return SGD over groups of `params` that carry `lr_mult` and `decay_mult`."""
    return SGD(
        groups=[
            ParameterGroup(
                parameters=group["params"],
                lr_mult=group["lr_mult"],
                weight_decay=solver.weight_decay * group["decay_mult"],
            )
            for group in groups
        ],
        momentum=solver.momentum,
    )


def micro_batches(
    stream: Dataset[tuple[Tensor, int]],
    solver: SolverConfig,
    *,
    device: torch.device,
    workers: int,
    start: int,
    share: Share = ALONE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield this process's micro-batches of iterations start.. of a stream, on the device."""
    size, parts = solver.micro_batch, solver.parts
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        stream,
        batch_sampler=(
            list(range(number * size, (number + 1) * size))
            for iteration in range(start, solver.iterations)
            for number in (iteration * parts + part for part in share.micro_batches(parts))
        ),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
    )
    batches = iter(loader)
    while True:
        with record_function(LOAD):
            batch = next(batches, None)
        if batch is None:
            return
        with record_function(TRANSFER):
            inputs, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
        yield inputs, labels


def solve(
    network: nn.Module,
    optimizer: SGD,
    inputs: Iterator[tuple[Tensor, Tensor]],
    solver: SolverConfig,
    *,
    seed: int,
    start: int,
    share: Share = ALONE,
    precision: str = "float32",
) -> Iterator[Step]:
    """Minimise the cross-entropy of network(x) over this process's micro-batches (x, labels).

    Every process yields what all of them saw and did. Nothing waits for a GPU here: it still works
    on a step that is yielded.
    """
    parameters = optimizer.parameters
    device = parameters[0].device
    agree_on_start(start, share, device)
    for iteration in range(start, solver.iterations):
        lr = learning_rate(iteration, solver)
        optimizer.zero_grad()
        outcome = torch.zeros(solver.parts, 2, device=device)
        last = iteration == solver.iterations - 1
        watch: AbstractContextManager[dict[str, Seen]] = (
            watched(network) if last else nullcontext({})
        )
        # What is compiled calls no hooks, by which the last iteration is watched.
        eager = last and network._compiled_call_impl is not None
        stance = torch.compiler.set_stance("force_eager") if eager else nullcontext()
        waited, added_up = 0.0, summed(network, parameters, outcome, share)
        with stance, watch as statistics, added_up as mine:
            for part in mine:
                torch.manual_seed(_mix(seed, iteration * solver.parts + part))  # for dropout
                began = time.perf_counter()
                x, labels = next(inputs)
                waited += time.perf_counter() - began
                outcome[part] = _accumulate(network, x, labels, solver.parts, precision)
        with record_function(UPDATE):
            norm = nn.utils.clip_grad_norm_(parameters, solver.clip_norm)
            step = Step(iteration, lr, Arriving(outcome), Arriving(norm), waited)
            if device.type == "cpu":
                step.read()  # there is nothing to wait for: a bad gradient changes no weight
            optimizer.step(lr)
        if share.rank == 0:
            warn_of_gaps(statistics)
        yield step


def _accumulate(
    network: nn.Module, x: Tensor, labels: Tensor, parts: int, precision: str
) -> Tensor:
    """Add a micro-batch's share of the gradient; return its (loss, accuracy), on the device."""
    with record_function(FORWARD), computing_in(precision, x.device):
        scores = network(x)
        loss = nn.functional.cross_entropy(scores, labels)
    with record_function(BACKWARD):
        (loss / parts).backward()  # type: ignore[no-untyped-call]
    return torch.stack([loss.detach(), (scores.argmax(1) == labels).float().mean()])


def _mix(seed: int, number: int) -> int:
    return (seed * 1_000_003 + number) % 2**63


@dataclass(frozen=True, kw_only=True)
class Training:
    """A network, its optimizer, and what trains it.

    stream: endless and seekable, as `micro_batches` takes it; normalise: makes the network's float
    input of what that gives, on the device.
    """

    network: nn.Module
    optimizer: SGD
    solver: SolverConfig
    seed: int
    stream: Dataset[tuple[Tensor, int]]
    normalise: Callable[[Tensor], Tensor]
    device: torch.device
    workers: int
    share: Share = ALONE
    precision: str = "float32"

    @property
    def steps_ahead(self) -> int:
        """Return how many launched steps to leave unread, so that the device always has work."""
        return int(self.device.type == "cuda")

    def iterate(self, start: int) -> Iterator[Iteration]:
        """Run the iterations start, start + 1, ... and yield each when it has been read."""
        yield from read_late(self.launch(start), self.steps_ahead)

    def launch(self, start: int) -> Iterator[Step]:
        """Have the device do the iterations start, start + 1, ... and yield each at once.

        Between two yields network and optimizer hold the state after the yielded one, in every
        process of `share`. To read a step late keeps a GPU busy.
        """
        batches = micro_batches(
            self.stream,
            self.solver,
            device=self.device,
            workers=self.workers,
            start=start,
            share=self.share,
        )
        inputs = (self._normalised(x, labels) for x, labels in batches)
        self.network.train()
        yield from solve(
            *(self.network, self.optimizer, inputs, self.solver),
            seed=self.seed,
            start=start,
            share=self.share,
            precision=self.precision,
        )

    def _normalised(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with record_function(TRANSFER):
            return self.normalise(x), labels
