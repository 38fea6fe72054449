"""Configurations of the smallest things that have every part of the big ones.

Tests change what they are about: `replace(SOLVER, iterations=4)`.
"""

from tsn.model.settings import NetworkConfig
from tsn.sources.synthetic_motion import SyntheticConfig
from tsn.training.settings import SolverConfig

SYNTHETIC = SyntheticConfig(
    seed=3,
    groups=3,
    clips_per_group=1,
    frames=8,
    width=160,
    height=120,
    frames_per_second=25,
    pan_share=0.34,
)
NETWORK = NetworkConfig(
    backbone="bn_inception_quarter",
    consensus="average",
    num_segments=3,
    dropout=0.5,
    partial_bn=True,
    bn_momentum=0.1,
)
SOLVER = SolverConfig(
    iterations=4,
    batch_size=2,
    micro_batch=1,
    base_lr=0.1,
    lr_steps=(),
    lr_factor=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    clip_norm=20.0,
)
