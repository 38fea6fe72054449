"""Snippets of a video as network input.

Letters: K segment or S test snippet, P crop, T entry, C channel, H, W. Snippets travel as uint8
and become float on the training device (tsn.snippets.normalise), so that little is copied.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tsn.lists import ListedVideo
from tsn.modality import Modality
from tsn.snippets.crops import Box, check_num_positions, testing_crops, training_box
from tsn.snippets.sampling import testing_starts, training_starts
from tsn.streams.archives import (
    MANIFEST,
    OK,
    archive_path,
    read_entries,
    read_manifest,
    stack_entries,
)

Entries = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """A labelled video of one stream, ready to be read; `key` identifies its content."""

    video: str
    label: int
    entries: int
    archive: Path
    key: str


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Training crops (paper section 3.2): scales of the shorter side, 5 or 13 positions, mirror."""

    crop_scales: tuple[float, ...]
    crop_positions: int
    mirror: bool

    def __post_init__(self) -> None:
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise ValueError(f"crop_scales are fractions in (0, 1], got {self.crop_scales}")
        check_num_positions(self.crop_positions)


def listed_clips(
    videos: Sequence[ListedVideo], stream_dir: Path, modality: Modality
) -> tuple[list[Clip], dict[str, str]]:
    """Return the clips of a list, and the quarantined videos with their reasons.

    Raises ValueError for a video that the manifest does not know or that is shorter than a snippet.
    """
    manifest = read_manifest(stream_dir)
    clips, dropped = [], {}
    for listed in videos:
        record = manifest.get(listed.video)
        if record is None:
            raise ValueError(
                f"{stream_dir / MANIFEST} has no {listed.video}; extract {modality.name} again"
            )
        if record.status != OK:
            dropped[listed.video] = record.reason
            continue
        if record.entries < modality.snippet_length:
            raise ValueError(
                f"{listed.video} has {record.entries} entries of {modality.stream}, a snippet of "
                f"{modality.name} takes {modality.snippet_length}; raise min_frames in the "
                "recipe's accept section, so that it is quarantined, or take it off the list"
            )
        archive = archive_path(stream_dir, listed.video)
        clips.append(Clip(listed.video, listed.label, record.entries, archive, record.key))
    return clips, dropped


def read_snippet(clip: Clip, start: int, modality: Modality) -> Entries:
    """Return the entries of one snippet, stacked along the channels: (H, W, T x C)."""
    return stack_entries(read_entries(clip.archive, range(start, start + modality.snippet_length)))


def crop_snippet(
    snippet: Entries, box: Box, mirrored: bool, size: int, modality: Modality
) -> Entries:
    """Cut a box out of a snippet (H, W, C), scaled and mirrored if asked: (C, size, size).

    Mirroring turns flow around: its x component is inverted (docs/paper.md).
    """
    crop = snippet[box.y : box.y + box.height, box.x : box.x + box.width]
    if crop.shape[:2] != (size, size):
        crop = cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=cv2.INTER_LINEAR)
        crop = crop.reshape(size, size, -1)  # cv2 drops a single channel
    planes: Entries = np.ascontiguousarray(crop.transpose(2, 0, 1))
    if mirrored:
        planes = np.ascontiguousarray(planes[:, :, ::-1])
        for channel in modality.inverted_when_mirrored:
            inverted = planes[channel :: modality.entry_channels]
            np.subtract(255, inverted, out=inverted)
    return planes


class TrainingSnippets(Dataset[tuple[Tensor, int]]):
    """An endless, seekable stream of training videos: item i is the i-th video ever drawn.

    Every epoch is a fresh permutation of the clips. What item i holds depends on (seed, i) alone,
    so neither the number of loader processes nor an interruption changes it.
    Items are ((K, C, H, W) uint8, label).
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        modality: Modality,
        *,
        num_segments: int,
        input_size: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        if not clips:
            raise ValueError("the training list is empty")
        self.clips = list(clips)
        self.modality = modality
        self.num_segments = num_segments
        self.input_size = input_size
        self.augmentation = augmentation
        self.seed = seed
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        clip = self.clips[self._index(position)]
        generator = np.random.default_rng((self.seed, 1, position))
        starts = training_starts(
            clip.entries, self.num_segments, self.modality.snippet_length, generator
        )
        mirrored = self.augmentation.mirror and bool(generator.integers(2))
        snippets = [read_snippet(clip, int(start), self.modality) for start in starts]
        height, width = snippets[0].shape[:2]
        scales, positions = self.augmentation.crop_scales, self.augmentation.crop_positions
        box = training_box(width, height, scales, positions, generator)
        planes = [
            crop_snippet(snippet, box, mirrored, self.input_size, self.modality)
            for snippet in snippets
        ]
        return torch.from_numpy(np.stack(planes)), clip.label

    def _index(self, position: int) -> int:
        epoch, offset = divmod(position, len(self.clips))
        if epoch != self._epoch:
            generator = np.random.default_rng((self.seed, 0, epoch))
            self._order, self._epoch = generator.permutation(len(self.clips)), epoch
        return int(self._order[offset])


class ScoringSnippets(Dataset[Tensor]):
    """The test snippets of each clip (paper section 3.3): items (S, P, C, H, W) uint8."""

    def __init__(
        self, clips: Sequence[Clip], modality: Modality, *, snippets: int, crops: str, size: int
    ) -> None:
        self.clips = list(clips)
        self.modality = modality
        self.snippets = snippets
        self.crops = crops
        self.size = size

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tensor:
        clip = self.clips[index]
        return cut_scoring_snippets(
            lambda start: read_snippet(clip, start, self.modality),
            clip.entries,
            self.modality,
            snippets=self.snippets,
            crops=self.crops,
            size=self.size,
        )


def cut_scoring_snippets(
    read: Callable[[int], Entries],
    entries: int,
    modality: Modality,
    *,
    snippets: int,
    crops: str,
    size: int,
) -> Tensor:
    """Return the test snippets (S, P, C, H, W) uint8 of a video of that many entries.

    `read` gives the snippet (H, W, C) that starts at an entry; no start is read twice.
    """
    starts = [int(start) for start in testing_starts(entries, snippets, modality.snippet_length)]
    cut = partial(_testing_crops, modality=modality, crops=crops, size=size)
    cropped = {start: cut(read(start)) for start in set(starts)}  # a short video repeats its starts
    return torch.from_numpy(np.stack([cropped[start] for start in starts]))


def _testing_crops(snippet: Entries, modality: Modality, crops: str, size: int) -> Entries:
    height, width = snippet.shape[:2]
    return np.stack(
        [
            crop_snippet(snippet, box, mirrored, size, modality)
            for box, mirrored in testing_crops(crops, width, height, size)
        ]
    )
