"""The confusions that are drawn: of the headline, over the test videos of every split."""

from dataclasses import replace

import numpy as np

from stages.reporting.report_figures import count_confusions
from tsn.scoring.scores import VideoScores


def test_confusions_are_of_the_fusion_and_added_over_the_splits() -> None:
    """RGB takes everything for class 0; flow, which counts twice, for what it is but in split 2."""
    rgb = VideoScores(
        dataset="d",
        split=1,
        modality="rgb",
        model="",
        fingerprint="",
        classes=("a", "b"),
        videos=("a/1", "b/1", "b/2"),
        labels=np.array([0, 1, 1]),
        snippets=np.zeros((3, 1, 2), np.float32),
        scores=np.array([[1, 0]] * 3, np.float32),
    )
    right = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    flow = replace(rgb, modality="flow", scores=right)
    wrong = replace(flow, split=2, scores=right[::-1])  # of the videos 1 and 3
    cells = {1: {"rgb": rgb, "flow": flow}, 2: {"rgb": replace(rgb, split=2), "flow": wrong}}
    found = count_confusions(cells, {"rgb": 1.0, "flow": 2.0})
    assert found.tolist() == [[1, 1], [1, 3]]
