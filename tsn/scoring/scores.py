"""The scores of one cell on disk. Letters: V video, S test snippet, C class."""

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from tsn.files import atomic_path

HEADER = ("dataset", "split", "modality", "model", "fingerprint", "classes", "videos")
ARRAYS = ("labels", "snippets", "scores")

# The baseline's scores have this in the place of a modality, and its row this name.
BASELINE = "baseline"
LEARNED = "learned"  # the row of the fusion whose weights are fitted
NO_INITIAL_WEIGHTS = "the recipe's init makes no weights that it could take features with"


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
    """Write one .npz without pickles: a JSON header and three arrays. Complete or absent."""
    header = {name: getattr(scores, name) for name in HEADER}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            header=np.array(json.dumps(header, ensure_ascii=False)),
            **{name: getattr(scores, name) for name in ARRAYS},
        )


def load_scores(path: Path) -> VideoScores:
    """Return the scores of a file of `save_scores`. Raises ScoreError for another file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such scores; run the score stage of this cell first")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            known = {**header, **{name: tuple(header[name]) for name in ("classes", "videos")}}
            return VideoScores(**known, **{name: arrays[name] for name in ARRAYS})
    except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        raise ScoreError(f"{path}: not a score file of this pipeline ({error})") from error
