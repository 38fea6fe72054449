"""A recogniser: a video file in, class scores out, those of the pipeline.

Its networks are those of a folder (`tsn.recogniser.folder`). Letters: V video, C class.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch

from tsn.metrics import Scores
from tsn.modality import modality
from tsn.model.checkpoint import load_model
from tsn.model.network import TemporalSegmentNetwork
from tsn.recogniser.calibration import softmax
from tsn.recogniser.card import Member, RecogniserCard
from tsn.recogniser.dense_read import Part, read_seconds
from tsn.recogniser.folder import current_libraries, load_recogniser_card
from tsn.recogniser.sight import Seen, Sight, see_moments, write_test_clip
from tsn.recogniser.sparse_read import Need, ReadSnippet, SparseRead, snippet_reader
from tsn.recogniser.video_readers import VideoReaders
from tsn.scoring.fusion import weighted_sum
from tsn.scoring.score import ScoringProtocol, score_snippets, video_scores
from tsn.snippets.dataset import scoring_snippets
from tsn.streams.contents import VideoError
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
        return self._fused(self._see(video, stop))

    def look(self, video: Path, stop: Stop = never) -> Sight:
        """Return the scores of a video file, as `score`, and when and by what they came about."""
        seen = self._see(video, stop)
        scores = self._fused(seen)
        moments = weighted_sum({name: one.snippets for name, one in seen.items()}, self.weights)
        return see_moments(list(seen.values()), scores, moments)

    def warm_up(self) -> None:
        """Recognise a video that is made up, so that the next one does not wait for a start.

        Limits that refuse even that video leave the recogniser cold.
        """
        with suppress(VideoError), TemporaryDirectory(prefix="tsn-") as folder:
            snippets = self.card.testing.snippets
            needs = [self._need(member, snippets) for member in self.card.members]
            video = write_test_clip(Path(folder), max(need.least_frames for need in needs))
            self.score(video)

    @property
    def weights(self) -> dict[str, float]:
        """Return the weight of each modality."""
        return self.card.weights

    @property
    def measure(self) -> str:
        """Return what its shares are: "probability" if it is calibrated, else "share"."""
        return "share" if self.card.calibration is None else "probability"

    def shares(self, scores: Scores) -> npt.NDArray[np.float64]:
        """Return fused scores (..., C) of videos as shares that sum to 1, as `measure` says."""
        calibration = self.card.calibration
        return softmax(scores, 1.0 if calibration is None else calibration.temperature)

    def _see(self, video: Path, stop: Stop) -> dict[str, Seen]:
        """Return what each network makes of a video."""
        if not Path(video).is_file():
            raise FileNotFoundError(f"{video}: no such video file")
        seen: dict[str, Seen] = {}
        for members in _by_frame_size(self.card.members):
            needs = {row.modality: self._need(row, self.card.testing.snippets) for row in members}
            sparse = self._readers.read(video, list(needs.values()), stop)
            seen |= {name: self._score(sparse, need) for name, need in needs.items()}
        return seen

    def _fused(self, seen: Mapping[str, Seen]) -> Scores:
        scores = {name: video_scores([one.snippets])[0] for name, one in seen.items()}
        return weighted_sum(scores, self.weights)

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
            fused = weighted_sum(scores, self.weights)
            yield ScoredSeconds(scores=fused, seconds=part.seconds)

    def _need(self, member: Member, snippets: int) -> Need:
        row = modality(member.modality)
        return Need(
            modality=row,
            stream=STREAMS[row.stream],
            config=member.stream,
            snippets=snippets,
        )

    def _score(self, sparse: SparseRead, need: Need) -> Seen:
        read, snippets = self._read(sparse, need, torch.get_num_threads())
        return Seen(
            need=need, sparse=sparse, read=read, snippets=self._score_snippets(snippets, need)
        )

    def _score_part(self, part: Part, need: Need) -> Scores:
        """Return the scores (S, C) of a part's snippets."""

        def read(frames: npt.NDArray[np.uint8]) -> torch.Tensor:
            sparse = SparseRead(num_frames=len(frames), frames=dict(enumerate(frames)))
            return self._read(sparse, need, 1)[1]

        snippets = list(map_ahead(read, part.frames(need), torch.get_num_threads()))
        return self._score_snippets(torch.cat(snippets), need)

    def _read(
        self, sparse: SparseRead, need: Need, threads: int
    ) -> tuple[ReadSnippet, torch.Tensor]:
        """Return what gives a video's snippets, and those (S, C, H, W) that are needed."""
        read = snippet_reader(sparse, need, str(self._device), threads)
        entries = need.stream.num_entries(sparse.num_frames)
        return read, scoring_snippets(read, entries, need.modality, snippets=need.snippets)

    def _score_snippets(self, snippets: torch.Tensor, need: Need) -> Scores:
        name = need.modality.name
        protocol = ScoringProtocol(config=self.card.testing, size=self._input_sizes[name])
        return score_snippets(
            self._networks[name], snippets, need.modality, protocol, device=self._device
        )


def load_recogniser(
    folder: Path,
    device: torch.device,
    limits: Limits = DEFAULT_LIMITS,
    modalities: Sequence[str] = (),
    crops: str | None = None,
) -> Recogniser:
    """Return the recogniser of a folder of `save_recogniser`, on `device`.

    modalities: those to ask, all unless some are named; crops: a row of `TESTING_CROPS` to take
    instead of the card's. With either it answers sooner, and its scores are no longer the
    pipeline's. ValueError for a modality that it has not.

    Raises FileNotFoundError without one; RecogniserError for one of another version, with a key
    that is unknown or missing, or with anything changed since it was written.
    """
    folder = Path(folder)
    card = narrowed(load_recogniser_card(folder), modalities, crops)
    _warn_of_other_libraries(card)
    networks, input_sizes = {}, {}
    for member in card.members:
        name = member.modality
        network, sidecar = load_model(folder / name)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks[name], input_sizes[name] = network, sidecar.input_size
    return Recogniser(card, networks, input_sizes, device, limits)


def narrowed(
    card: RecogniserCard, modalities: Sequence[str], crops: str | None = None
) -> RecogniserCard:
    """Return the card with some of its members, or other crops, which are not calibrated.

    ValueError for a modality that it has not.
    """
    names = [member.modality for member in card.members]
    if unknown := [name for name in modalities if name not in names]:
        raise ValueError(
            f"the recogniser of {card.dataset} has no {', '.join(unknown)}; "
            f"it has {', '.join(names)}"
        )
    narrow = replace(
        card,
        members=tuple(row for row in card.members if row.modality in (modalities or names)),
        testing=replace(card.testing, crops=crops or card.testing.crops),
    )
    return card if narrow == card else replace(narrow, calibration=None)


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
