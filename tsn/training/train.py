"""Training a temporal segment network (paper section 3.2; solvers in PAPER.md section 2)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tsn.modality import Modality
from tsn.model.bn_inception import check_input_size
from tsn.model.network import (
    LearningRateMultipliers,
    NetworkConfig,
    TemporalSegmentNetwork,
    parameter_groups,
)
from tsn.snippets.dataset import Augmentation, TrainingSnippets
from tsn.snippets.normalise import normalise
from tsn.training.data_parallel import ALONE, Share
from tsn.training.solver import Iteration, SolverConfig, make_optimizer, micro_batches, solve


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a trained network besides its videos and initial weights."""

    seed: int
    input_size: int
    network: NetworkConfig
    augmentation: Augmentation
    solver: SolverConfig
    lr_multipliers: LearningRateMultipliers

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is 0 or more, got {self.seed}")
        check_input_size(self.input_size)


def network_optimizer(
    network: TemporalSegmentNetwork, modality: Modality, config: TrainingConfig
) -> torch.optim.SGD:
    """The optimizer of a temporal segment network, with the released solvers' multipliers."""
    groups = parameter_groups(
        network, multipliers=config.lr_multipliers, rgb=not modality.cross_modality
    )
    return make_optimizer(groups, config.solver)


def train(
    network: TemporalSegmentNetwork,
    optimizer: torch.optim.Optimizer,
    snippets: TrainingSnippets,
    config: TrainingConfig,
    *,
    device: torch.device,
    workers: int,
    start: int,
    share: Share = ALONE,
) -> Iterator[Iteration]:
    """Runs the iterations start, start + 1, ... of the schedule and yields each when it is done.

    Between two yields the network and the optimizer hold the state after the yielded iteration, in
    every process of the training.
    """
    batches = micro_batches(
        snippets, config.solver, device=device, workers=workers, start=start, share=share
    )
    inputs = ((normalise(videos, snippets.modality), labels) for videos, labels in batches)
    network.train()
    yield from solve(
        network, optimizer, inputs, config.solver, seed=config.seed, start=start, share=share
    )
