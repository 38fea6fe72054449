"""Snippets of a video as network input.

Letters: K segment or S test snippet, P crop, T entry, C channel, H, W. Snippets travel as uint8
and become float on the training device (tsn.snippets.normalise), so that little is copied. An image
is cut as it was decoded, and what is cut goes to its place in the snippet: whole frames are never
stacked. docs/performance.md has what that is worth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tsn.lists import ListedVideo
from tsn.modality import Modality
from tsn.snippets.crops import Augmentation, Box, testing_crops, training_box
from tsn.snippets.sampling import testing_starts, training_starts
from tsn.streams.archives import (
    MANIFEST,
    OK,
    Archive,
    Image,
    archive_path,
    read_manifest,
)

Planes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """A labelled video of one stream, ready to be read; `key` identifies its content."""

    video: str
    label: int
    entries: int
    archive: Path
    key: str


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


def read_snippet(archive: Archive, start: int, modality: Modality) -> list[Image]:
    """Return the images of the snippet that starts at an entry: (H, W, 3) or, of flow, (H, W)."""
    return archive.images(range(start, start + modality.snippet_length))


def cut_snippet(
    images: Sequence[Image], box: Box, mirrored: bool, modality: Modality, out: Planes
) -> None:
    """Cut a box out of a snippet's images into `out` (C, size, size), scaled and mirrored if asked.

    Mirroring turns flow around: its x component is inverted (docs/paper.md).
    """
    height, width = out.shape[1:]
    crops = [image[box.y : box.y + box.height, box.x : box.x + box.width] for image in images]
    channels = sum(crop.shape[2] if crop.ndim == 3 else 1 for crop in crops)
    if channels != len(out):
        raise ValueError(f"a snippet of {channels} channels, {modality.name} has {len(out)}")
    planes = iter(out)
    for crop in _scaled(crops, width, height):
        if crop.ndim == 2:
            next(planes)[...] = crop
        else:
            cv2.split(crop, [next(planes) for _ in range(crop.shape[2])])
    if mirrored:
        for plane in out:
            cv2.flip(plane, 1, dst=plane)
        for channel in modality.inverted_when_mirrored:
            inverted = out[channel :: modality.entry_channels]
            np.subtract(255, inverted, out=inverted)


def _scaled(crops: Sequence[Image], width: int, height: int) -> Iterator[Image]:
    """Yield a snippet's crops in that size, several gray ones as the channels of one image.

    An image is good until the next: memory is used again, which costs less than new pages.
    """
    if crops[0].shape[:2] == (height, width):
        yield from crops
        return
    joined = scaled = None
    for group in _groups(crops, halved=crops[0].shape[:2] == (2 * height, 2 * width)):
        image = group[0]
        if len(group) > 1:
            image = joined = cv2.merge(group, joined)
        scaled = cv2.resize(image, (width, height), scaled, interpolation=cv2.INTER_LINEAR)
        yield scaled


def _groups(crops: Sequence[Image], *, halved: bool) -> Iterator[Sequence[Image]]:
    """Yield a snippet's crops as OpenCV scales them together.

    It scales four gray crops in the time of two. Where it halves, it rounds the mean of 2 x 2
    pixels up for 1, 3 or 4 channels, and to even for others: there a snippet stays whole.
    """
    together = len(crops) if halved else 4 if crops[0].ndim == 2 else 1
    for first in range(0, len(crops), together):
        yield crops[first : first + together]


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
        with Archive(clip.archive) as archive:
            snippets = [read_snippet(archive, int(start), self.modality) for start in starts]
        height, width = snippets[0][0].shape[:2]
        scales, positions = self.augmentation.crop_scales, self.augmentation.crop_positions
        box = training_box(width, height, scales, positions, generator)
        size = self.input_size
        planes = np.empty((len(snippets), *snippet_shape(self.modality, size, size)), np.uint8)
        for images, out in zip(snippets, planes, strict=True):
            cut_snippet(images, box, mirrored, self.modality, out)
        return torch.from_numpy(planes), clip.label

    def _index(self, position: int) -> int:
        epoch, offset = divmod(position, len(self.clips))
        if epoch != self._epoch:
            generator = np.random.default_rng((self.seed, 0, epoch))
            self._order, self._epoch = generator.permutation(len(self.clips)), epoch
        return int(self._order[offset])


class ScoringSnippets(Dataset[Tensor]):
    """The test snippets of each clip (paper section 3.3), uncut: items (S, C, H, W) uint8."""

    def __init__(self, clips: Sequence[Clip], modality: Modality, *, snippets: int) -> None:
        self.clips = list(clips)
        self.modality = modality
        self.snippets = snippets

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tensor:
        clip = self.clips[index]
        with Archive(clip.archive) as archive:
            return scoring_snippets(
                lambda start: read_snippet(archive, start, self.modality),
                clip.entries,
                self.modality,
                snippets=self.snippets,
            )


def scoring_snippets(
    read: Callable[[int], Sequence[Image]], entries: int, modality: Modality, *, snippets: int
) -> Tensor:
    """Return the test snippets (S, C, H, W) uint8 of a video of that many entries.

    `read` gives the images of the snippet that starts at an entry; no start is read twice.
    """
    starts = testing_starts(entries, snippets, modality.snippet_length).tolist()
    distinct = {start: read(start) for start in dict.fromkeys(starts)}  # a short video repeats some
    height, width = distinct[starts[0]][0].shape[:2]
    whole = Box(0, 0, width, height)
    planes = np.empty((len(starts), *snippet_shape(modality, height, width)), np.uint8)
    for start, out in zip(starts, planes, strict=True):
        cut_snippet(distinct[start], whole, False, modality, out)
    return torch.from_numpy(planes)


def cut_views(snippets: Tensor, crops: str, size: int, modality: Modality) -> Tensor:
    """Return the crops of test snippets (S, C, H, W) as (S, P, C, size, size), on their device.

    Raises ValueError for crops that do not fit into the frames.
    """
    height, width = snippets.shape[-2:]
    views = []
    for box, mirrored in testing_crops(crops, width, height, size):
        view = snippets[..., box.y : box.y + box.height, box.x : box.x + box.width]
        if mirrored:
            view = view.flip(-1)
            for channel in modality.inverted_when_mirrored:
                view[:, channel :: modality.entry_channels] = (
                    255 - view[:, channel :: modality.entry_channels]
                )
        views.append(view)
    return torch.stack(views, dim=1)


def snippet_shape(modality: Modality, height: int, width: int) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of a snippet as it is read."""
    return modality.snippet_length * modality.entry_channels, height, width
