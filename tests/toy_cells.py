"""Scores of two modalities and of the baseline on three videos of two classes, and their list."""

from dataclasses import replace

import numpy as np

from tsn.lists import ListedVideo
from tsn.scoring.scores import VideoScores

RGB = VideoScores(
    dataset="d",
    split=1,
    modality="rgb",
    model="m",
    fingerprint="f",
    classes=("a", "b"),
    videos=("a/1", "a/2", "b/1"),
    labels=np.array([0, 0, 1]),
    snippets=np.zeros((3, 1, 2), np.float32),
    scores=np.array([[2, 1], [1, 2], [0, 1]], np.float32),
)
FLOW = replace(RGB, modality="flow", fingerprint="g")
BASELINE_SCORES = replace(
    RGB,
    modality="baseline",
    fingerprint="h",
    scores=np.array([[1, 0], [1, 0], [1, 0]], np.float32),
)
LISTED = [
    ListedVideo("b/1", 1, "1", ("still",)),
    ListedVideo("a/1", 0, "1", ("pan", "long")),
    ListedVideo("a/2", 0, "2", ("pan",)),
]
