"""The baseline: separable features, features taken apart by hand, what decides the scores."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_configs import NETWORK
from torch import Tensor

from tsn.files import write_csv
from tsn.lists import COLUMNS, write_names
from tsn.metrics import accuracy
from tsn.model.backbones import backbone
from tsn.model.checkpoint import save_initial
from tsn.model.initialisation import Source
from tsn.model.network import build_network
from tsn.scoring.baseline import (
    BaselineInputs,
    PreparedBaseline,
    log_probabilities,
    prepare_baseline,
)
from tsn.scoring.scores import BASELINE, VideoScores
from tsn.scoring.settings import BaselineConfig
from tsn.streams.archives import read_entries

CONFIG = BaselineConfig(snippets=3, input_size=32, inverse_regularization=1.0)
CLASSES = ("dark", "light")
TRAIN = {"a/1.avi": 0, "b/1.avi": 1, "a/2.avi": 0, "b/2.avi": 1}
TEST = {"b/3.avi": 1, "a/3.avi": 0, "b/4.avi": 1}


def clouds(per_class: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes that lie around corners far from each other, and their labels."""
    labels = np.arange(3 * per_class) % 3
    corners = np.array([[0, 0, 5], [9, 0, 5], [0, 900, 5]], np.float32)  # one says nothing
    return corners[labels] + generator.normal(size=(len(labels), 3)).astype(np.float32), labels


def test_separable_features_are_all_recognised() -> None:
    generator = np.random.default_rng(1)
    (train, labels), (test, wanted) = clouds(20, generator), clouds(10, generator)
    scores = log_probabilities(train, labels, test, num_classes=3, inverse_regularization=1.0)
    assert accuracy(scores, wanted).mean_class_accuracy == 1.0
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)


def test_a_class_without_training_videos_is_never_recognised() -> None:
    generator = np.random.default_rng(1)
    (train, labels), (test, _) = clouds(20, generator), clouds(10, generator)
    two = labels != 1
    scores = log_probabilities(
        train[two], labels[two], test, num_classes=4, inverse_regularization=1.0
    )
    assert set(scores.argmax(axis=1)) == {0, 2}
    assert np.isfinite(scores).all()


def initial_weights() -> dict[str, Tensor]:
    network = build_network(
        NETWORK, in_channels=3, num_classes=1, generator=torch.Generator().manual_seed(1)
    )
    return dict(network.backbone.state_dict())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, write_stream: Callable) -> BaselineInputs:
    """Videos of dark and of light noise, whose initial weights are some random ones."""
    folder, generator = tmp_path_factory.mktemp("baseline"), np.random.default_rng(1)
    videos = {
        video: generator.integers(100 * label, 100 * label + 60, (9, 24, 40, 3), dtype=np.uint8)
        for video, label in {**TRAIN, **TEST}.items()
    }
    write_names(folder / "classes.txt", CLASSES)
    for side, labels in (("train", TRAIN), ("test", TEST)):
        rows = [(video, label, "g", "") for video, label in labels.items()]
        write_csv(folder / f"{side}.csv", COLUMNS, rows)
    sources = {"rgb": Source(backbone=initial_weights())}
    save_initial(folder / "init", "weights_file", NETWORK.backbone, sources)
    return BaselineInputs(
        dataset="d",
        split=1,
        modality="rgb",
        classes=folder / "classes.txt",
        train=folder / "train.csv",
        test=folder / "test.csv",
        stream=write_stream(folder / "rgb", videos),
        init=folder / "init",
    )


def prepare(inputs: BaselineInputs, workers: int = 0) -> PreparedBaseline:
    return prepare_baseline(inputs, CONFIG, "f", device=torch.device("cpu"), workers=workers)


def score(inputs: BaselineInputs, workers: int = 0) -> VideoScores:
    prepared = prepare(inputs, workers)
    return prepared.result(list(prepared.features))


def test_videos_are_scored_by_what_the_training_videos_look_like(inputs: BaselineInputs) -> None:
    scores = score(inputs)
    assert scores.videos == tuple(TEST)
    assert scores.labels.tolist() == list(TEST.values())
    assert (scores.modality, scores.classes) == (BASELINE, CLASSES)
    assert accuracy(scores.scores, scores.labels).mean_class_accuracy == 1.0
    assert scores.snippets.shape == (3, 1, 2)


def test_features_are_the_mean_over_evenly_spaced_whole_frames(inputs: BaselineInputs) -> None:
    row, prepared = backbone(NETWORK.backbone), prepare(inputs)
    network = row.build(3)
    network.load_state_dict(initial_weights())
    network.eval()
    for clip, features in zip([*prepared.train, *prepared.test], prepared.features, strict=True):
        alone = []
        for start in (0, 4, 8):  # of 9 frames
            frame = cv2.resize(read_entries(clip.archive, [start])[0], (32, 32))
            image = torch.from_numpy(frame.astype(np.float32) - row.inputs.mean).float()
            with torch.no_grad():
                alone.append(network(image.permute(2, 0, 1)[None])[0].numpy())
        np.testing.assert_allclose(features, np.mean(alone, axis=0), rtol=1e-3, atol=1e-4)


def test_the_same_bits_twice_whatever_reads_the_clips(inputs: BaselineInputs) -> None:
    first, second = score(inputs), score(inputs, workers=1)
    assert first.scores.tobytes() == second.scores.tobytes()


def test_any_modality_has_a_baseline(
    inputs: BaselineInputs, tmp_path: Path, write_stream: Callable
) -> None:
    """Its first layer takes the mean of the RGB weights, as in training."""
    flow = {video: np.full((9, 24, 40, 2), 128, np.uint8) for video in {**TRAIN, **TEST}}
    others = {"modality": "flow", "stream": write_stream(tmp_path, flow)}
    scores = score(BaselineInputs(**{**vars(inputs), **others}))
    np.testing.assert_allclose(np.exp(scores.scores), 0.5, rtol=1e-5)  # nothing moves anywhere


def test_without_initial_weights_no_video_is_scored(inputs: BaselineInputs, tmp_path: Path) -> None:
    save_initial(tmp_path, "scratch", NETWORK.backbone, {})
    scores = score(BaselineInputs(**{**vars(inputs), "init": tmp_path}))
    assert (scores.videos, scores.scores.shape) == ((), (0, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snippets": 0}, "at least 1, got 0, 32"),
        ({"input_size": 0}, "at least 1, got 3, 0"),
        ({"inverse_regularization": 0.0}, "above 0, got 0.0"),
    ],
)
def test_bad_config_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BaselineConfig(**{**vars(CONFIG), **change})
