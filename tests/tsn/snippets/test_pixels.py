"""Snippets against the plainest way to make them: whole frames, stacked, cut, scaled, turned.

Equal to the bit, for every modality, with and without scaling, and where OpenCV scales by a half,
which it rounds by the number of channels.
"""

import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tsn.lists import ListedVideo
from tsn.modality import MODALITIES, Modality, modality
from tsn.snippets import sampling
from tsn.snippets.crops import Augmentation, Box, training_box
from tsn.snippets.dataset import (
    Clip,
    ScoringSnippets,
    TrainingSnippets,
    cut_snippet,
    listed_clips,
)
from tsn.streams.archives import MEMBERS

Entries = npt.NDArray[np.uint8]
AUGMENTATION = Augmentation(crop_scales=(1.0, 0.875, 0.75, 0.5), crop_positions=13, mirror=True)
SIZES = [(61, 47, 31), (64, 64, 32), (49, 64, 48), (40, 33, 33)]  # width, height, of the network


@cache
def plain_snippet(clip: Clip, start: int, row: Modality) -> Entries:
    planes = []
    with zipfile.ZipFile(clip.archive) as archive:
        for entry in range(start, start + row.snippet_length):
            for name in MEMBERS[row.entry_channels]:
                data = np.frombuffer(archive.read(name.format(entry + 1)), dtype=np.uint8)
                planes.append(np.atleast_3d(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)))
    return np.concatenate(planes, axis=2)


def plain_crop(snippet: Entries, box: Box, mirrored: bool, size: int, row: Modality) -> Entries:
    crop = snippet[box.y : box.y + box.height, box.x : box.x + box.width].copy()
    if crop.shape[:2] != (size, size):
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    if mirrored:
        crop = crop[:, ::-1].copy()
        for channel in row.inverted_when_mirrored:
            crop[:, :, channel :: row.entry_channels] ^= 255
    return crop.transpose(2, 0, 1)


def noise_clips(
    folder: Path, write_stream: Callable, row: Modality, width: int, height: int
) -> list[Clip]:
    generator = np.random.default_rng(width)
    videos = {
        f"{length}/v.avi": generator.integers(
            0, 256, (length, height, width, row.entry_channels), dtype=np.uint8
        )
        for length in (21, row.snippet_length)
    }
    listed = [ListedVideo(video, label, "g", ()) for label, video in enumerate(videos)]
    return listed_clips(listed, write_stream(folder, videos), row)[0]


@pytest.mark.parametrize(("width", "height", "size"), SIZES)
@pytest.mark.parametrize("name", ["rgb", "rgb_diff", "flow"])
def test_training_snippets_have_the_plain_pixels(
    tmp_path: Path, write_stream: Callable, name: str, width: int, height: int, size: int
) -> None:
    row = modality(name)
    clips = noise_clips(tmp_path, write_stream, row, width, height)
    dataset = TrainingSnippets(
        clips, row, num_segments=3, input_size=size, augmentation=AUGMENTATION, seed=4
    )
    seen = set()
    for position in range(30):
        shown, label = dataset[position]
        clip, generator = clips[label], np.random.default_rng((4, 1, position))
        starts = sampling.training_starts(clip.entries, 3, row.snippet_length, generator)
        mirrored = bool(generator.integers(2))
        box = training_box(width, height, AUGMENTATION.crop_scales, 13, generator)
        seen.add((box.width, box.height, mirrored))
        for planes, start in zip(shown.numpy(), starts, strict=True):
            expected = plain_crop(plain_snippet(clip, int(start), row), box, mirrored, size, row)
            np.testing.assert_array_equal(planes, expected)
    assert len(seen) > 9


@pytest.mark.parametrize("name", MODALITIES)
def test_scoring_snippets_have_the_plain_pixels(
    tmp_path: Path, write_stream: Callable, name: str
) -> None:
    row = modality(name)
    clips = noise_clips(tmp_path, write_stream, row, 61, 47)
    dataset = ScoringSnippets(clips, row, snippets=4)
    for clip, shown in zip(clips, (dataset[0], dataset[1]), strict=True):
        starts = sampling.testing_starts(clip.entries, 4, row.snippet_length)
        expected = [plain_snippet(clip, int(start), row).transpose(2, 0, 1) for start in starts]
        np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize("name", MODALITIES)
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    "box",
    [
        *(Box(0, 0, 61, 47), Box(1, 1, 60, 46), Box(38, 24, 23, 23), Box(0, 16, 1, 31)),
        *(Box(0, 46, 61, 1), Box(60, 46, 1, 1), Box(7, 1, 46, 46), Box(7, 3, 46, 23)),
    ],
)
def test_any_box_has_the_plain_pixels(name: str, mirrored: bool, box: Box) -> None:
    row = modality(name)
    channels = row.snippet_length * row.entry_channels
    snippet = np.random.default_rng(2).integers(0, 256, (47, 61, channels), dtype=np.uint8)
    images = [image.squeeze() for image in np.split(snippet, channels // of_image(row), axis=2)]
    planes = np.empty((channels, 23, 23), np.uint8)
    cut_snippet(images, box, mirrored, row, planes)
    np.testing.assert_array_equal(planes, plain_crop(snippet, box, mirrored, 23, row))


def of_image(row: Modality) -> int:
    return row.entry_channels // len(MEMBERS[row.entry_channels])


def test_a_stream_of_another_modality_is_refused(tmp_path: Path, write_stream: Callable) -> None:
    clips = noise_clips(tmp_path, write_stream, modality("flow"), 40, 33)
    dataset = ScoringSnippets(clips, modality("rgb"), snippets=1)
    with pytest.raises(ValueError, match="a snippet of 2 channels, rgb has 3"):
        dataset[0]
