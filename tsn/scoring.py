"""Testing (paper section 3.3): snippets x crops per video, averaged before softmax.

Letters: V video, S test snippet, P crop, C class or channel.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tsn.crops import TESTING_CROPS
from tsn.network import TemporalSegmentNetwork
from tsn.snippets import TestingSnippets, normalise


class ScoreError(ValueError):
    """A score file that cannot be used for what it was asked for."""


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """snippets per video, how each is cropped, and how many crops go through the net at once."""

    snippets: int
    crops: str
    batch: int

    def __post_init__(self) -> None:
        if self.snippets < 1 or self.batch < 1:
            raise ValueError(
                f"snippets and batch are at least 1, got {self.snippets}, {self.batch}"
            )
        if self.crops not in TESTING_CROPS:
            raise ValueError(f"unknown crops {self.crops!r}; one of: {', '.join(TESTING_CROPS)}")


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Pre-softmax scores of one cell: per test snippet (V, S, C) and per video (V, C)."""

    dataset: str
    split: int
    modality: str
    fingerprint: str
    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    snippets: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


@torch.inference_mode()
def score_videos(
    network: TemporalSegmentNetwork,
    dataset: TestingSnippets,
    *,
    batch: int,
    device: torch.device,
    workers: int,
) -> Iterator[npt.NDArray[np.float32]]:
    """Per clip, in order, its snippets' scores (S, C), each the mean over its crops."""
    network.eval()
    loader: DataLoader[Tensor] = DataLoader(dataset, batch_size=None, num_workers=workers)
    for crops in loader:
        snippets, per_snippet = crops.shape[:2]
        flat = crops.flatten(0, 1)
        parts = [
            network.snippet_scores(normalise(part.to(device), dataset.modality))
            for part in flat.split(batch)
        ]
        scores = torch.cat(parts).view(snippets, per_snippet, -1).mean(1)
        yield scores.cpu().numpy()


def video_scores(
    network: TemporalSegmentNetwork, snippets: Sequence[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """The segmental consensus over each video's test snippets: (V, C)."""
    with torch.inference_mode():
        consensus = network.consensus.aggregate(torch.from_numpy(np.stack(snippets)))
    result: npt.NDArray[np.float32] = consensus.numpy()
    return result


def save_scores(scores: VideoScores, path: Path) -> None:
    """One .npz without pickles: a JSON header and three arrays. Complete or absent."""
    header = {
        "dataset": scores.dataset,
        "split": scores.split,
        "modality": scores.modality,
        "fingerprint": scores.fingerprint,
        "classes": scores.classes,
        "videos": scores.videos,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        np.savez(
            file,
            header=np.array(json.dumps(header, ensure_ascii=False)),
            labels=scores.labels,
            snippets=scores.snippets,
            scores=scores.scores,
        )
    partial.replace(path)


def load_scores(path: Path) -> VideoScores:
    """What `save_scores` wrote."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such scores; run the score stage of this cell first")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            return VideoScores(
                dataset=header["dataset"],
                split=header["split"],
                modality=header["modality"],
                fingerprint=header["fingerprint"],
                classes=tuple(header["classes"]),
                videos=tuple(header["videos"]),
                labels=arrays["labels"],
                snippets=arrays["snippets"],
                scores=arrays["scores"],
            )
    except (BadZipFile, KeyError, ValueError) as error:
        raise ScoreError(f"{path}: not a score file of this pipeline ({error})") from error
