"""One training in several processes: which part of an iteration each does, and how they add up.

The unit is the micro-batch: process r of n takes a run of an iteration's micro-batches, with the
videos, the dropout and the batch statistics that they have in one process. What one process
accumulates, n processes sum:

- The gradient is a sum over micro-batches. It is clipped when it is whole.
- A running statistic of batch normalisation becomes (1 - m) x + m s with every micro-batch of
  statistic s, which is linear in x. The first process goes on from x, the others start an iteration
  from 0; each result decays by the micro-batches that come after its own, and their sum is what one
  process gets after all of them.
- Loss and accuracy are kept for each micro-batch.

So n processes give the losses, weights and statistics of one, except for the order of float sums;
the same n give the same bits again.

All of this is one sum of one flat buffer at the end of an iteration, not
torch.nn.parallel.DistributedDataParallel, which sums while it computes. What DDP would hide is
short: the 10 million parameters of BN-Inception are 41 MB, against an iteration of 128 videos. In
return there is no wrapper around the network, statistics and losses travel along, and the buffer
has the same layout in every iteration, so that a resumed training adds in the order of an
uninterrupted one. (DDP lays its buckets out anew after the first iteration.)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


@dataclass(frozen=True, kw_only=True)
class Share:
    """What this process does of a training: process `rank`, from 0, of `processes`.

    With several, torch.distributed's default group has to hold just these.
    """

    rank: int
    processes: int

    def micro_batches(self, parts: int) -> range:
        """Return which of an iteration's `parts` micro-batches are this process's: at least one.

        Raises ValueError for more processes than micro-batches.
        """
        if self.processes > parts:
            raise ValueError(
                f"{self.processes} processes, but an iteration has {parts} micro-batches "
                "(batch_size / micro_batch), which are not divided further; start fewer processes"
            )
        first, end = (parts * rank // self.processes for rank in (self.rank, self.rank + 1))
        return range(first, end)


ALONE = Share(rank=0, processes=1)


def agree_on_start(start: int, share: Share, device: torch.device) -> None:
    """Wait for all processes. Raise ValueError unless all start at the same iteration."""
    if share == ALONE:
        return
    starts = torch.zeros(share.processes, dtype=torch.int64, device=device)
    starts[share.rank] = start
    _sum_over_processes(starts)
    found = starts.tolist()
    if len(set(found)) > 1:
        raise ValueError(
            f"the processes of this training start at iterations {found}: they do not see the "
            "same saved state; start them in one folder"
        )


@contextmanager
def summed(
    network: nn.Module, parameters: Sequence[nn.Parameter], outcome: Tensor, share: Share
) -> Iterator[range]:
    """Yield the micro-batches that are this process's, and afterwards add up those of all.

    outcome: a row per micro-batch of the iteration, 0 before, to be filled for those yielded.
    Afterwards `outcome`, the gradients of `parameters` (0 before) and the running statistics of
    `network` are what one process has after all micro-batches, in every process.
    """
    parts = len(outcome)
    mine = share.micro_batches(parts)
    if share == ALONE:
        yield mine
        return
    learned = list(_running_statistics(network))
    if share.rank:
        for one in learned:
            one.mean.zero_()
            one.variance.zero_()
    yield mine
    for one in learned:
        decay = (1 - one.momentum) ** (parts - mine.stop)
        one.mean.mul_(decay)
        one.variance.mul_(decay)
        one.batches.add_(parts - len(mine))
    gradients = [p.grad for p in parameters if p.grad is not None]
    statistics = [tensor for one in learned for tensor in (one.mean, one.variance)]
    _sum_in_place([*gradients, *statistics, outcome])


@dataclass(frozen=True)
class _RunningStatistics:
    """The buffers of a layer that learns them; a micro-batch has the weight `momentum`."""

    mean: Tensor
    variance: Tensor
    batches: Tensor
    momentum: float


def _running_statistics(network: nn.Module) -> Iterator[_RunningStatistics]:
    """Yield those of every layer in training. Raises ValueError for buffers of another rule."""
    for name, layer in network.named_modules():
        if not layer.training or getattr(layer, "running_mean", None) is None:
            continue
        if not isinstance(layer, BatchNorm) or layer.momentum is None:
            raise ValueError(
                f"{name}: several processes can keep the running statistics of batch normalisation "
                f"with a momentum, not those of {layer}; train in one process"
            )
        yield _RunningStatistics(
            mean=layer.get_buffer("running_mean"),
            variance=layer.get_buffer("running_var"),
            batches=layer.get_buffer("num_batches_tracked"),
            momentum=layer.momentum,
        )


def _sum_in_place(tensors: Sequence[Tensor]) -> None:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    _sum_over_processes(flat)
    sums = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, total in zip(tensors, sums, strict=True):
        tensor.copy_(total.view(tensor.shape))


def _sum_over_processes(tensor: Tensor) -> None:
    try:
        dist.all_reduce(tensor)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConnectionError(
            f"another process of this training has ended or does not answer ({reason})"
        ) from error
