"""The scores of one cell on disk. Letters: V video, S test snippet, C class."""

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tsn.files import atomic_path


class ScoreError(ValueError):
    """A score file that cannot be used for what it was asked for."""


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Pre-softmax scores of one cell: per test snippet (V, S, C) and per video (V, C).

    `model` is the fingerprint of the model that gave them, `fingerprint` that of the scoring.
    """

    dataset: str
    split: int
    modality: str
    model: str
    fingerprint: str
    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    snippets: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def save_scores(scores: VideoScores, path: Path) -> None:
    """One .npz without pickles: a JSON header and three arrays. Complete or absent."""
    header = {
        "dataset": scores.dataset,
        "split": scores.split,
        "modality": scores.modality,
        "model": scores.model,
        "fingerprint": scores.fingerprint,
        "classes": scores.classes,
        "videos": scores.videos,
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            header=np.array(json.dumps(header, ensure_ascii=False)),
            labels=scores.labels,
            snippets=scores.snippets,
            scores=scores.scores,
        )


def load_scores(path: Path) -> VideoScores:
    """What `save_scores` wrote."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such scores; run the score stage of this cell first")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            return VideoScores(
                dataset=header["dataset"],
                split=header["split"],
                modality=header["modality"],
                model=header["model"],
                fingerprint=header["fingerprint"],
                classes=tuple(header["classes"]),
                videos=tuple(header["videos"]),
                labels=arrays["labels"],
                snippets=arrays["snippets"],
                scores=arrays["scores"],
            )
    except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ScoreError(f"{path}: not a score file of this pipeline ({error})") from error
