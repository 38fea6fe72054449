"""Testing (paper section 3.3): snippets x crops per video, averaged before softmax.

Letters: V video, S test snippet, P crop, C class or channel.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tsn.files import json_sha256
from tsn.lists import read_list, read_names
from tsn.modality import Modality, modality
from tsn.model.checkpoint import ModelCard, load_model, refuse_other_cell
from tsn.model.network import Arriving, TemporalSegmentNetwork, computing_in
from tsn.scoring.scores import VideoScores
from tsn.scoring.settings import ScoringConfig
from tsn.snippets.crops import testing_crops
from tsn.snippets.dataset import Clip, ScoringSnippets, cut_views, listed_clips
from tsn.snippets.normalise import normalise

# Pixels of the crops that a CPU takes at once: with more it is slower (docs/performance.md).
CPU_PIXELS = 8 * 224 * 224
CPU_VIDEOS = 16  # that it takes at once: readers hold three times as many, whole


@dataclass(frozen=True, kw_only=True)
class ScoringInputs:
    """Which network is scored, and the files and folders that its scores are made of.

    classes: class names in label order; list: the test videos; stream: what was extracted of them;
    model: the folder of the network.
    """

    dataset: str
    split: int
    modality: str
    classes: Path
    list: Path
    stream: Path
    model: Path


@dataclass(frozen=True, kw_only=True)
class PreparedScoring:
    """A scoring that is ready to begin.

    dropped: quarantined videos and why.
    snippets: gives, per clip, its snippets' scores (S, C), as `score_videos`.
    """

    card: ModelCard
    config: ScoringConfig
    clips: Sequence[Clip]
    dropped: Mapping[str, str]
    snippets: Iterator[npt.NDArray[np.float32]]

    def result(self, snippets: Sequence[npt.NDArray[np.float32]]) -> VideoScores:
        """Return the scores that all clips' snippets add up to."""
        videos = [(clip.video, clip.label) for clip in self.clips]
        return VideoScores(
            dataset=self.card.dataset,
            split=self.card.split,
            modality=self.card.modality,
            model=self.card.fingerprint,
            fingerprint=json_sha256([self.card.fingerprint, asdict(self.config), videos]),
            classes=self.card.classes,
            videos=tuple(clip.video for clip in self.clips),
            labels=np.array([clip.label for clip in self.clips]),
            snippets=np.stack(snippets),
            scores=video_scores(snippets),
        )


def prepare_scoring(
    inputs: ScoringInputs,
    config: ScoringConfig,
    *,
    device: torch.device,
    workers: int,
) -> PreparedScoring:
    """Return the scoring of a network on its test list.

    Raises CheckpointError for a network of another dataset, split or modality; ValueError where no
    video of the list is left.
    """
    row, classes = modality(inputs.modality), read_names(inputs.classes)
    network, card = load_model(inputs.model)
    refuse_other_cell(card, inputs.dataset, inputs.split, row.name, classes, inputs.model)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    clips, dropped = listed_clips(read_list(inputs.list), inputs.stream, row)
    if not clips:
        raise ValueError(f"{inputs.list}: no video of it could be extracted")
    dataset = ScoringSnippets(clips, row, snippets=config.snippets)
    testing = ScoringProtocol(config=config, size=card.input_size)
    return PreparedScoring(
        card=card,
        config=config,
        clips=clips,
        dropped=dropped,
        snippets=score_videos(network, dataset, testing, device=device, workers=workers),
    )


@dataclass(frozen=True, kw_only=True)
class ScoringProtocol:
    """How snippets are scored: crops of `size` pixels, in a precision (tsn.model.network)."""

    config: ScoringConfig
    size: int
    precision: str = "float32"

    @property
    def views(self) -> int:
        """Return how many crops a video has."""
        crops = testing_crops(self.config.crops, self.size, self.size, self.size)
        return self.config.snippets * len(crops)

    def crops_at_once(self, device: torch.device) -> int:
        """Return how many crops go through the network at once: the batch, on a CPU often fewer."""
        if device.type != "cpu":
            return self.config.batch
        return min(self.config.batch, max(1, CPU_PIXELS // self.size**2))


@torch.inference_mode()
def score_videos(
    network: TemporalSegmentNetwork,
    dataset: ScoringSnippets,
    testing: ScoringProtocol,
    *,
    device: torch.device,
    workers: int,
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield each clip's snippets' scores (S, C), in order, each the mean over its crops.

    As many videos are scored at once as go through the network together; on a GPU, the scores
    before come back meanwhile.
    """
    network.eval()
    on_gpu = device.type == "cuda"
    at_once = max(1, testing.crops_at_once(device) // testing.views)
    if not on_gpu:
        at_once = min(at_once, CPU_VIDEOS)
    loader: DataLoader[Tensor] = DataLoader(
        dataset, batch_size=at_once, num_workers=workers, pin_memory=on_gpu
    )
    before: Arriving | None = None
    for videos in loader:
        snippets = videos.to(device, non_blocking=True).flatten(0, 1)
        launched = _mean_over_crops(network, snippets, dataset.modality, testing)
        if before is not None:
            yield from before.read().numpy()
        before = Arriving(launched.view(*videos.shape[:2], -1))
    if before is not None:
        yield from before.read().numpy()


@torch.inference_mode()
def score_snippets(
    network: TemporalSegmentNetwork,
    snippets: Tensor,
    modality: Modality,
    testing: ScoringProtocol,
    *,
    device: torch.device,
) -> npt.NDArray[np.float32]:
    """Return the scores (S, C) of a video's snippets (S, C, H, W), each the mean over its crops.

    The network is in evaluation mode and on `device`.
    """
    scores: npt.NDArray[np.float32] = (
        _mean_over_crops(network, snippets.to(device), modality, testing).cpu().numpy()
    )
    return scores


def _mean_over_crops(
    network: TemporalSegmentNetwork, snippets: Tensor, modality: Modality, testing: ScoringProtocol
) -> Tensor:
    """Return the scores (S, C) of snippets on the network's device, which cuts the crops."""
    views = cut_views(snippets, testing.config.crops, testing.size, modality)
    with computing_in(testing.precision, snippets.device):
        parts = [
            network.snippet_scores(normalise(part, modality, network.row.inputs)).float()
            for part in torch.split(views.flatten(0, 1), testing.crops_at_once(snippets.device))
        ]
    return torch.cat(parts).view(*views.shape[:2], -1).mean(1)


def video_scores(snippets: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return the mean over each video's test snippets (S, C): (V, C)."""
    means: npt.NDArray[np.float32] = np.stack(snippets).mean(axis=1)
    return means
