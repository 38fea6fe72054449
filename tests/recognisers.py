"""Small videos and recognisers of untrained networks, for the tests of what is served."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import small_configs
import stream_configs
import torch

from tsn.files import file_sha256
from tsn.modality import modality
from tsn.model.checkpoint import ModelCard, save_model
from tsn.model.network import build_network
from tsn.recogniser.calibration import Calibration
from tsn.recogniser.card import RecogniserCard, ReferenceScores
from tsn.recogniser.folder import save_recogniser
from tsn.scoring.settings import ScoringConfig

INPUT_SIZE = 32
CLASSES = ("walk", "run", "wave hand")
TESTING = ScoringConfig(snippets=2, crops="ten_crop", batch=15)
WEIGHTS = {"rgb": 1.0, "rgb_diff": 0.7, "flow": 1.5, "warped_flow": 0.5}
FRAMES, FLOW, WARPED = stream_configs.FRAMES, stream_configs.FLOW, stream_configs.WARPED
STREAM_CONFIGS = {"rgb": FRAMES, "rgb_diff": FRAMES, "flow": FLOW, "warped_flow": WARPED}


def write_models(folder: Path, modalities: Sequence[str], seed: int = 1) -> dict[str, Path]:
    """A model folder per modality, of networks with random weights."""
    config = replace(small_configs.NETWORK, dropout=0.8)
    for index, name in enumerate(modalities):
        network = build_network(
            config,
            in_channels=modality(name).channels,
            num_classes=len(CLASSES),
            generator=torch.Generator().manual_seed(100 * seed + index),
        )
        with torch.no_grad():
            network.fc.weight.mul_(100)  # scores that differ
        card = ModelCard(
            dataset="toy",
            split=2,
            modality=name,
            classes=CLASSES,
            input_size=INPUT_SIZE,
            network=config,
            iterations=0,
            fingerprint=f"{name} {seed}",
        )
        save_model(network, card, folder / name)
    return {name: folder / name for name in modalities}


def write_recogniser(
    folder: Path,
    videos: Sequence[Path] = (),
    *,
    weights: Mapping[str, float],
    seed: int = 1,
    predicted: Sequence[int] | None = None,
    calibration: Calibration | None = None,
) -> RecogniserCard:
    """A recogniser in `folder` of random networks, with made-up scores of the videos.

    Their labels are 0, 1, 2, 0, 1, ...; `predicted` are the labels that score highest.
    """
    scores = np.random.default_rng(seed).normal(size=(len(videos), len(CLASSES)))
    if predicted is not None:
        scores = np.eye(len(CLASSES))[list(predicted)]
    return save_recogniser(
        folder,
        models=write_models(folder.with_name(f"{folder.name}-models"), list(weights), seed),
        combination="both" if len(weights) > 1 else next(iter(weights)),
        weights=weights,
        streams={name: STREAM_CONFIGS[name] for name in weights},
        testing=TESTING,
        tests=ReferenceScores(
            classes=CLASSES,
            videos=tuple(f"{video.parent.name}/{video.name}" for video in videos),
            sha256=tuple(file_sha256(video) for video in videos),
            labels=np.arange(len(videos)) % len(CLASSES),
            scores=scores.astype(np.float32),
        ),
        trained_on=["b" * 64, "a" * 64, "b" * 64],
        calibration=calibration,
    )
