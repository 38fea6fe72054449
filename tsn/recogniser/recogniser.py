"""A recogniser: a video file in, class scores out, those of the pipeline.

Its networks are those of a folder (`tsn.recogniser.folder`). Letters: V video, C class.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tsn.metrics import Scores
from tsn.modality import modality
from tsn.model.checkpoint import load_model
from tsn.model.network import TemporalSegmentNetwork
from tsn.recogniser.dense_read import Part, read_seconds
from tsn.recogniser.folder import Member, RecogniserCard, current_libraries, load_recogniser_card
from tsn.recogniser.sparse_read import Need, SparseRead, snippet_reader
from tsn.recogniser.video_readers import VideoReaders
from tsn.scoring.fusion import weighted_sum
from tsn.scoring.score import ScoringProtocol, score_snippets, video_scores
from tsn.snippets.dataset import scoring_snippets
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.table import STREAMS
from tsn.workers.pool import Stop, never
from tsn.workers.prefetch import map_ahead, prefetch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ScoredSeconds:
    """Fused scores (S, C) of the next seconds of a video, which lasts `seconds` by its header."""

    scores: Scores
    seconds: float


class Recogniser:
    """Networks in evaluation mode on one device, and how their scores are made and fused.

    Flow is computed there, too, by as many threads as torch has. May be asked by several threads.
    """

    def __init__(
        self,
        card: RecogniserCard,
        networks: Mapping[str, TemporalSegmentNetwork],
        input_sizes: Mapping[str, int],
        device: torch.device,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.card = card
        self._networks = networks
        self._input_sizes = input_sizes
        self._device = device
        self._limits = limits
        self._readers = VideoReaders(limits)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of the scores."""
        return self.card.classes

    def score(self, video: Path, stop: Stop = never) -> Scores:
        """Return the fused scores (C,) of a video file before softmax: those of the pipeline.

        It is read in a process of its own. Raises FileNotFoundError without the file, VideoError
        for one that cannot be read, is beyond the limits or is shorter than a snippet, and
        StoppedError once `stop` gives a reason, within moments while the video is read.
        """
        if not Path(video).is_file():
            raise FileNotFoundError(f"{video}: no such video file")
        scores: dict[str, Scores] = {}
        for members in _by_frame_size(self.card.members):
            needs = {row.modality: self._need(row, self.card.testing.snippets) for row in members}
            sparse = self._readers.read(video, list(needs.values()), stop)
            scores |= {name: self._score(sparse, need) for name, need in needs.items()}
        return weighted_sum(scores, self.card.weights)

    def score_seconds(self, video: Path) -> Iterator[ScoredSeconds]:
        """Yield the fused scores of a long video before softmax, a snippet a second.

        A few seconds at a time, in memory that does not grow with the video. Raises as `score`
        does, perhaps only after the first seconds.
        """
        if not Path(video).is_file():
            raise FileNotFoundError(f"{video}: no such video file")
        needs = {row.modality: self._need(row, snippets=1) for row in self.card.members}
        for part in prefetch(read_seconds(video, list(needs.values()), self._limits), depth=1):
            scores = {name: self._score_part(part, need) for name, need in needs.items()}
            fused = weighted_sum(scores, self.card.weights)
            yield ScoredSeconds(scores=fused, seconds=part.seconds)

    def _need(self, member: Member, snippets: int) -> Need:
        row = modality(member.modality)
        return Need(
            modality=row,
            stream=STREAMS[row.stream],
            config=member.stream,
            snippets=snippets,
        )

    def _score(self, sparse: SparseRead, need: Need) -> Scores:
        snippets = self._read(sparse, need, torch.get_num_threads())
        scores: Scores = video_scores([self._score_snippets(snippets, need)])[0]
        return scores

    def _score_part(self, part: Part, need: Need) -> Scores:
        """Return the scores (S, C) of a part's snippets."""

        def read(frames: npt.NDArray[np.uint8]) -> torch.Tensor:
            sparse = SparseRead(num_frames=len(frames), frames=dict(enumerate(frames)))
            return self._read(sparse, need, 1)

        snippets = list(map_ahead(read, part.frames(need), torch.get_num_threads()))
        return self._score_snippets(torch.cat(snippets), need)

    def _read(self, sparse: SparseRead, need: Need, threads: int) -> torch.Tensor:
        """Return the snippets (S, C, H, W) that are needed of a video."""
        return scoring_snippets(
            snippet_reader(sparse, need, str(self._device), threads),
            need.stream.num_entries(sparse.num_frames),
            need.modality,
            snippets=need.snippets,
        )

    def _score_snippets(self, snippets: torch.Tensor, need: Need) -> Scores:
        name = need.modality.name
        protocol = ScoringProtocol(config=self.card.testing, size=self._input_sizes[name])
        return score_snippets(
            self._networks[name], snippets, need.modality, protocol, device=self._device
        )


def softmax(scores: Scores) -> npt.NDArray[np.float64]:
    """Return scores (..., C) as shares that sum to 1: they rank classes, and are not calibrated."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    shares: npt.NDArray[np.float64] = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


def load_recogniser(
    folder: Path, device: torch.device, limits: Limits = DEFAULT_LIMITS
) -> Recogniser:
    """Return the recogniser of a folder of `save_recogniser`, on `device`.

    Raises FileNotFoundError without one; RecogniserError for one of another version, with a key
    that is unknown or missing, or with anything changed since it was written.
    """
    folder = Path(folder)
    card = load_recogniser_card(folder)
    _warn_of_other_libraries(card)
    networks, input_sizes = {}, {}
    for member in card.members:
        name = member.modality
        network, sidecar = load_model(folder / name)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks[name], input_sizes[name] = network, sidecar.input_size
    return Recogniser(card, networks, input_sizes, device, limits)


def _by_frame_size(members: Sequence[Member]) -> list[list[Member]]:
    """Return the members in groups whose frames are decoded and resized in one go."""

    def size(member: Member) -> tuple[int, int]:
        return member.stream.width, member.stream.height

    return [list(group) for _, group in groupby(sorted(members, key=size), key=size)]


def _warn_of_other_libraries(card: RecogniserCard) -> None:
    """Warn of other versions: they may decode, compute or multiply a little differently."""
    here = current_libraries()
    other = [
        f"{name} {was} (here {here.get(name)})"
        for name, was in card.libraries.items()
        if was != here.get(name)
    ]
    if other:
        logger.warning(
            "the recogniser of %s was made with %s: its scores may differ a little",
            card.dataset,
            ", ".join(other),
        )
