"""Puts a dataset's recogniser together from the networks, scores and lists of one split.

It is asked for a few test videos then: their scores have to be those of the pipeline.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tsn.lists import read_list
from tsn.model.checkpoint import load_card
from tsn.recogniser.calibration import Calibration, calibrate
from tsn.recogniser.card import RecogniserCard, ReferenceScores, read_test_scores
from tsn.recogniser.folder import save_recogniser
from tsn.recogniser.recogniser import load_recogniser
from tsn.scoring.fusion import common_videos, fuse
from tsn.scoring.scores import VideoScores, load_scores
from tsn.scoring.settings import ScoringConfig
from tsn.streams.table import FramesConfig

NUM_COMPARED = 3  # test videos, those of the smallest files
# On one kind of device scores differ by less. Flow of a GPU differs from that of a CPU by more, but
# by less than this part of a video's spread; other frames, settings or networks by far more.
EQUAL, TOLERANCE = 1e-4, 0.01
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RecogniserParts:
    """What a recogniser is made of. The folders are those of its split.

    combination: its row of the results; weights: of each modality that is fused, in order;
    streams: how each is extracted; testing: how its networks were scored.
    models: folder of <modality>; scores: folder of <modality>.npz; lists: of train and test.csv.
    """

    dataset: str
    split: int
    combination: str
    weights: Mapping[str, float]
    streams: Mapping[str, FramesConfig]
    testing: ScoringConfig
    models: Path
    scores: Path
    lists: Path

    def listed(self, side: str) -> list[str]:
        """Return the videos of a list of the split: "train" or "test"."""
        return [row.video for row in read_list(self.lists / f"{side}.csv")]


def load_cells(parts: RecogniserParts) -> dict[str, VideoScores]:
    """Return the scores that each network gave, on the videos that all of them could score.

    Raises ValueError for scores of another network, or where no video has all.
    """
    cells = {}
    for name in parts.weights:
        path = parts.scores / f"{name}.npz"
        cells[name] = load_scores(path)
        if cells[name].model != load_card(parts.models / name).fingerprint:
            raise ValueError(
                f"{path}: not the scores of the network in {parts.models / name}; run the score "
                f"stage of {parts.dataset} split {parts.split} {name} again"
            )
    common = common_videos(cells)
    if not next(iter(common.values())).videos:
        raise ValueError(
            f"no test video of {parts.dataset} split {parts.split} has scores of all of "
            f"{', '.join(cells)}; see what their extraction set aside"
        )
    return common


def package(
    folder: Path,
    parts: RecogniserParts,
    cells: Mapping[str, VideoScores],
    digests: Mapping[str, str],
    others: Sequence[RecogniserParts] = (),
) -> RecogniserCard:
    """Write the recogniser of `cells`, those of `load_cells`, to a folder and return its card.

    digests: the SHA-256 of each video; ValueError where that of a listed one is missing. others:
    the parts of other splits, by which it is calibrated.
    """
    first = next(iter(cells.values()))
    tests = ReferenceScores(
        classes=first.classes,
        videos=first.videos,
        sha256=tuple(_digests_of(first.videos, digests)),
        labels=first.labels,
        scores=fuse(cells, parts.weights),
    )
    return save_recogniser(
        folder,
        models={name: parts.models / name for name in parts.weights},
        combination=parts.combination,
        weights=parts.weights,
        streams=parts.streams,
        testing=parts.testing,
        tests=tests,
        trained_on=_digests_of(parts.listed("train"), digests),
        calibration=_calibrated(parts, tests, others),
    )


def _calibrated(
    parts: RecogniserParts, tests: ReferenceScores, others: Sequence[RecogniserParts]
) -> Calibration | None:
    """Return the calibration by what other splits' networks make of their test videos.

    Videos of the recogniser's own test list are left out, so that its calibration error is of
    videos that the temperature was not fitted on. None where too few videos are left.
    """
    own = set(parts.listed("test"))
    scores, labels, splits = [tests.scores[:0]], [tests.labels[:0]], []
    for other in others:
        cells = load_cells(other)
        first = next(iter(cells.values()))
        _refuse_other_recipe(parts, other)
        kept = [index for index, video in enumerate(first.videos) if video not in own]
        scores.append(fuse(cells, other.weights)[kept])
        labels.append(first.labels[kept])
        splits.append(other.split)
    held_out = np.concatenate(scores), np.concatenate(labels)
    return calibrate(*held_out, tuple(splits), tests.scores, tests.labels)


def _refuse_other_recipe(parts: RecogniserParts, other: RecogniserParts) -> None:
    """Raise ValueError for networks of another shape or training than the recogniser's."""
    for name in parts.weights:
        ours, theirs = load_card(parts.models / name), load_card(other.models / name)
        for field in ("classes", "network", "input_size", "iterations"):
            if getattr(ours, field) != getattr(theirs, field):
                raise ValueError(
                    f"{other.models / name} differs from {parts.models / name} in {field}; run the "
                    f"train stage of {parts.dataset} split {other.split} {name} again"
                )


def _digests_of(videos: Sequence[str], digests: Mapping[str, str]) -> list[str]:
    missing = [video for video in videos if video not in digests]
    if missing:
        raise ValueError(
            f"no checksum of {len(missing)} videos ({', '.join(missing[:3])}); run `dvc repro` for "
            "the whole chain"
        )
    return [digests[video] for video in videos]


def greatest_difference(folder: Path, videos: Path, device: torch.device) -> float:
    """Return by how much a recogniser's scores differ from the pipeline's, of its smallest tests.

    A warning when they are not equal: no file says on what kind of device streams were extracted
    and scored, so whether another one is the reason cannot be known. Raises ValueError when that
    cannot be the reason.
    """
    recogniser, tests = load_recogniser(folder, device), read_test_scores(folder)
    expected = dict(zip(tests.videos, tests.scores, strict=True))
    worst = 0.0
    for video in smallest(videos, tests.videos):
        found = recogniser.score(videos / video)
        difference = float(np.abs(found - expected[video]).max())
        text = (
            f"the recogniser's scores of {video} differ from the pipeline's by {difference:.3g}: "
            "was its stream extracted with other settings? Run `dvc repro` for the whole chain"
        )
        if not difference <= TOLERANCE * np.ptp(expected[video]):  # nor where it is no number
            raise ValueError(text)
        if difference > EQUAL:
            logger.warning("%s, unless it was on a GPU what here is on a CPU, or the reverse", text)
        worst = max(worst, difference)
    return worst


def smallest(folder: Path, videos: Sequence[str]) -> list[str]:
    """Return the few videos of the smallest files, which are soon looked at."""
    return sorted(videos, key=lambda video: ((folder / video).stat().st_size, video))[:NUM_COMPARED]
