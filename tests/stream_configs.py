"""Configurations of small streams; without torch, as processes that extract import them."""

from tsn.flow.camera_motion import HomographyConfig
from tsn.streams.table import Acceptance, FlowConfig, FramesConfig, WarpedFlowConfig

ACCEPT = Acceptance(min_frames=3, max_quarantined=0)
FRAMES = FramesConfig(width=48, height=36, jpeg_quality=90)
FLOW = FlowConfig(**{**vars(FRAMES), "jpeg_quality": 95}, bound=8.0, engine="tvl1")
WARPED = WarpedFlowConfig(
    **vars(FLOW),
    homography=HomographyConfig(
        max_corners=100, reprojection_threshold=1.0, min_matches=10, min_inliers=6
    ),
)
