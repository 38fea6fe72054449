"""The baseline: a logistic regression on features of the initial weights; no network is trained.

It says what the trained networks are worth. Letters: V video, S snippet, D feature, C class or
channel, H, W.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tsn.lists import read_list, read_names
from tsn.metrics import Labels, Scores
from tsn.modality import Modality, modality
from tsn.model.checkpoint import (
    INIT_SIDECAR,
    initial_weights_path,
    load_initial,
    load_initial_card,
)
from tsn.model.initialisation import RGB, Source, Start, initialise
from tsn.model.network import TemporalSegmentNetwork, build_network
from tsn.model.settings import NetworkConfig
from tsn.scoring.scores import BASELINE, VideoScores
from tsn.scoring.settings import BaselineConfig
from tsn.snippets.crops import Box
from tsn.snippets.dataset import Clip, cut_snippet, listed_clips, read_snippet, snippet_shape
from tsn.snippets.normalise import normalise
from tsn.snippets.sampling import testing_starts
from tsn.streams.archives import MANIFEST, Archive

MAX_ITERATIONS = 1000  # of the regression; standardised features take some tens
LOWEST = float(np.finfo(np.float32).tiny)  # a probability that has a logarithm

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class BaselineInputs:
    """Of which videos the baseline is made, and the files and folders that are read.

    classes: class names in label order; train, test: the lists of the split; stream: what was
    extracted of their videos; init: the folder of the initial weights.
    """

    dataset: str
    split: int
    modality: str
    classes: Path
    train: Path
    test: Path
    stream: Path
    init: Path

    @property
    def cell(self) -> dict[str, object]:
        """Return what is scored, as a part of its fingerprint."""
        return {"dataset": self.dataset, "split": self.split, BASELINE: self.modality}

    @property
    def files(self) -> Sequence[Path]:
        """Return the files whose content decides the scores."""
        weights = {initial_weights_path(self.init, name) for name in (RGB, self.modality)}
        found = [path for path in (self.init / INIT_SIDECAR, *sorted(weights)) if path.is_file()]
        return [self.classes, self.train, self.test, self.stream / MANIFEST, *found]


@dataclass(frozen=True, kw_only=True)
class PreparedBaseline:
    """A baseline that is ready to begin. Without initial weights it has no clips.

    dropped: quarantined videos and why.
    features: gives the features (D,) of each clip of `train`, then of each of `test`.
    """

    inputs: BaselineInputs
    config: BaselineConfig
    fingerprint: str
    classes: tuple[str, ...]
    train: Sequence[Clip]
    test: Sequence[Clip]
    dropped: Mapping[str, str]
    features: Iterator[Features]

    def result(self, features: Sequence[Features]) -> VideoScores:
        """Return the scores of the test clips; of no video where there are no initial weights."""
        scores = np.zeros((0, len(self.classes)), np.float32)
        if self.test:
            scores = log_probabilities(
                np.stack(features[: len(self.train)]),
                np.array([clip.label for clip in self.train]),
                np.stack(features[len(self.train) :]),
                num_classes=len(self.classes),
                inverse_regularization=self.config.inverse_regularization,
            )
        return VideoScores(
            dataset=self.inputs.dataset,
            split=self.inputs.split,
            modality=BASELINE,
            model=self.fingerprint,
            fingerprint=self.fingerprint,
            classes=self.classes,
            videos=tuple(clip.video for clip in self.test),
            labels=np.array([clip.label for clip in self.test], dtype=np.int64),
            snippets=scores[:, np.newaxis],
            scores=scores,
        )


def prepare_baseline(
    inputs: BaselineInputs,
    config: BaselineConfig,
    fingerprint: str,
    *,
    device: torch.device,
    workers: int,
) -> PreparedBaseline:
    """Return the baseline of a split.

    fingerprint: that of all that it will be made of. Raises ValueError where no video of a list is
    left.
    """
    network = frozen_network(inputs.init, inputs.modality)
    train, test, dropped = ([], [], {}) if network is None else listed_sides(inputs)
    snippets = WholeSnippets([*train, *test], modality(inputs.modality), config)
    return PreparedBaseline(
        inputs=inputs,
        config=config,
        fingerprint=fingerprint,
        classes=read_names(inputs.classes),
        train=train,
        test=test,
        dropped=dropped,
        features=iter(())
        if network is None
        else video_features(network, snippets, device=device, workers=workers),
    )


def listed_sides(inputs: BaselineInputs) -> tuple[list[Clip], list[Clip], dict[str, str]]:
    """Return the clips of the training list and of the test list, and what both quarantined."""
    sides: list[list[Clip]] = []
    dropped: dict[str, str] = {}
    for path in (inputs.train, inputs.test):
        clips, quarantined = listed_clips(read_list(path), inputs.stream, modality(inputs.modality))
        if not clips:
            raise ValueError(f"{path}: no video of it could be extracted")
        sides.append(clips)
        dropped |= quarantined
    train, test = sides
    return train, test, dropped


def frozen_network(init: Path, name: str) -> TemporalSegmentNetwork | None:
    """Return a network of a modality whose backbone has the initial weights, if there are any."""
    card, row = load_initial_card(init), modality(name)
    sources = load_initial(init, card.backbone)
    if not sources.keys() & {RGB, name}:
        return None
    config = NetworkConfig(
        backbone=card.backbone,
        consensus="average",
        num_segments=1,
        dropout=0.0,
        partial_bn=False,
        bn_momentum=0.1,
    )
    drawn = torch.Generator().manual_seed(0)  # of weights that the initial ones replace
    network = build_network(config, in_channels=row.channels, num_classes=1, generator=drawn)
    backbones = {key: Source(backbone=source.backbone) for key, source in sources.items()}
    start = Start(network=network, dataset="", modality=name, classes=(), sources=backbones)
    initialise("copied" if name in sources else "cross_modality", start)
    return network


class WholeSnippets(Dataset[Tensor]):
    """Evenly spaced snippets of each clip, whole and scaled to a square: (S, C, H, W) uint8."""

    def __init__(self, clips: Sequence[Clip], row: Modality, config: BaselineConfig) -> None:
        self.clips = list(clips)
        self.modality = row
        self.config = config

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tensor:
        clip, row = self.clips[index], self.modality
        starts = testing_starts(clip.entries, self.config.snippets, row.snippet_length)
        with Archive(clip.archive) as archive:
            snippets = [read_snippet(archive, int(start), row) for start in starts]
        height, width = snippets[0][0].shape[:2]
        whole, side = Box(0, 0, width, height), self.config.input_size
        planes = np.empty((len(snippets), *snippet_shape(row, side, side)), np.uint8)
        for images, out in zip(snippets, planes, strict=True):
            cut_snippet(images, whole, False, row, out)
        return torch.from_numpy(planes)


@torch.inference_mode()
def video_features(
    network: TemporalSegmentNetwork,
    dataset: WholeSnippets,
    *,
    device: torch.device,
    workers: int,
) -> Iterator[Features]:
    """Yield the features (D,) of each clip, in order: the mean over its snippets."""
    network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loader: DataLoader[Tensor] = DataLoader(dataset, batch_size=None, num_workers=workers)
    for snippets in loader:
        images = normalise(snippets.to(device), dataset.modality, network.row.inputs)
        features: Features = network.backbone(images).mean(0).cpu().numpy()
        yield features


def log_probabilities(
    train: Features,
    labels: Labels,
    test: Features,
    *,
    num_classes: int,
    inverse_regularization: float,
) -> Scores:
    """Return the log-probabilities (V, C) of test videos, learned from the training videos.

    Features (V, D) are standardised as the training videos are spread.
    """
    from sklearn.linear_model import LogisticRegression  # takes seconds to load
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=inverse_regularization, max_iter=MAX_ITERATIONS)
    classifier = make_pipeline(StandardScaler(), regression)
    classifier.fit(train.astype(np.float64), labels)
    probabilities = np.zeros((len(test), num_classes))  # of a class that no training video has, 0
    probabilities[:, classifier.classes_] = classifier.predict_proba(test.astype(np.float64))
    return np.log(np.maximum(probabilities, LOWEST)).astype(np.float32)
