"""Testing (paper section 3.3): snippets x crops per video, averaged before softmax.

Letters: V video, S test snippet, P crop, C class or channel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tsn.modality import Modality
from tsn.model.network import TemporalSegmentNetwork
from tsn.snippets.crops import TESTING_CROPS
from tsn.snippets.dataset import TestingSnippets
from tsn.snippets.normalise import normalise


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
        yield score_snippets(network, crops, dataset.modality, batch=batch, device=device)


@torch.inference_mode()
def score_snippets(
    network: TemporalSegmentNetwork,
    crops: Tensor,
    modality: Modality,
    *,
    batch: int,
    device: torch.device,
) -> npt.NDArray[np.float32]:
    """The scores (S, C) of one video's snippets (S, P, C, H, W), each the mean over its crops.

    The network is in evaluation mode and on `device`.
    """
    snippets, per_snippet = crops.shape[:2]
    parts = [
        network.snippet_scores(normalise(part.to(device), modality))
        for part in torch.split(crops.flatten(0, 1), batch)
    ]
    scores: npt.NDArray[np.float32] = (
        torch.cat(parts).view(snippets, per_snippet, -1).mean(1).cpu().numpy()
    )
    return scores


def video_scores(snippets: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The mean over each video's test snippets (S, C): (V, C)."""
    means: npt.NDArray[np.float32] = np.stack(snippets).mean(axis=1)
    return means
