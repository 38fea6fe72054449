"""What a recipe says of training; PyTorch is not loaded for it, but for a network of timm."""

import math
from dataclasses import dataclass

from tsn.model.backbones import backbone
from tsn.model.initialisation import SCRATCH, check_initialisation
from tsn.model.settings import LearningRateMultipliers, NetworkConfig
from tsn.snippets.crops import Augmentation


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """SGD with a step schedule, counted in iterations of `batch_size` videos.

    A batch is accumulated from parts of `micro_batch` videos, so that one small device gives the
    same effective batch as many big ones. Several processes deal these parts out among them.
    Without any iteration the network stays what it starts as: a checkpoint's, for example.
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
        if self.iterations < 0:
            raise ValueError(f"iterations is 0 or more, got {self.iterations}")
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

    @property
    def parts(self) -> int:
        """Return how many micro-batches an iteration has."""
        return self.batch_size // self.micro_batch


@dataclass(frozen=True, kw_only=True)
class PretextConfig:
    """The backbone to pre-train, on images of input_size pixels, with this solver."""

    seed: int
    backbone: str
    input_size: int
    solver: SolverConfig

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is 0 or more, got {self.seed}")
        if not self.solver.iterations:
            raise ValueError("solver.iterations is 0: nothing would be learned; use init.scratch")
        backbone(self.backbone).check_input_size(self.input_size)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a trained network besides its videos and initial weights."""

    seed: int
    input_size: int
    initialisation: str
    network: NetworkConfig
    augmentation: Augmentation
    solver: SolverConfig
    lr_multipliers: LearningRateMultipliers

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is 0 or more, got {self.seed}")
        backbone(self.network.backbone).check_input_size(self.input_size)
        check_initialisation(self.initialisation)
        if self.initialisation == SCRATCH and self.network.partial_bn:
            raise ValueError(
                "partial_bn freezes statistics that a network from scratch has not learned yet "
                "(mean 0, variance 1): set it to false, or start from weights"
            )
