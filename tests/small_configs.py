"""Configurations of the smallest things that have every part of the big ones.

Tests change what they are about: `replace(SOLVER, iterations=4)`.
"""

from tsn.flow.camera_motion import HomographyConfig
from tsn.model.network import NetworkConfig
from tsn.sources.synthetic_motion import SyntheticConfig
from tsn.streams.table import Acceptance, FlowConfig, FramesConfig, WarpedFlowConfig
from tsn.training.solver import SolverConfig

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
ACCEPT = Acceptance(min_frames=3, max_quarantined=0)
FRAMES = FramesConfig(width=48, height=36, jpeg_quality=90)
FLOW = FlowConfig(**{**vars(FRAMES), "jpeg_quality": 95}, bound=8.0, engine="tvl1")
WARPED = WarpedFlowConfig(
    **vars(FLOW),
    homography=HomographyConfig(
        max_corners=100, reprojection_threshold=1.0, min_matches=10, min_inliers=6
    ),
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
