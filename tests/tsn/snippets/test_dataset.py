"""Snippets read back from small streams whose every entry carries its own value."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tsn.lists import ListedVideo
from tsn.modality import MODALITIES, Modality, modality
from tsn.snippets import dataset as snippets
from tsn.snippets import sampling
from tsn.snippets.crops import Augmentation, Box
from tsn.snippets.dataset import (
    Clip,
    TrainingSnippets,
    cut_snippet,
    cut_views,
    listed_clips,
    read_snippet,
    snippet_shape,
)
from tsn.streams.archives import (
    OK,
    QUARANTINED,
    Archive,
    ManifestRow,
    read_entries,
    write_manifest,
)

HEIGHT, WIDTH, SIZE = 40, 48, 32
LENGTHS = {"a/one.avi": 30, "a/two.avi": 24, "b/three.avi": 6, "b/four.avi": 18}
AUGMENTATION = Augmentation(crop_scales=(1.0, 0.8), crop_positions=13, mirror=True)


def flat_entries(length: int, channels: int, first: int = 0) -> np.ndarray:
    """Entry t is filled with first + t, and in its second flow channel with 200 - t."""
    values = first + np.arange(length, dtype=np.uint8)
    entries = np.broadcast_to(values[:, None, None, None], (length, HEIGHT, WIDTH, channels)).copy()
    if channels == 2:
        entries[..., 1] = 200 - np.arange(length)[:, None, None]
    return entries


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory, write_stream: Callable) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    for stream, channels in (("frames", 3), ("flow", 2)):
        videos = {
            video: flat_entries(length, channels, first=40 * index)
            for index, (video, length) in enumerate(LENGTHS.items())
        }
        write_stream(folder / stream, videos)
    return folder


def listed(*videos: str) -> list[ListedVideo]:
    return [ListedVideo(video, index, "g", ()) for index, video in enumerate(videos)]


def clips_of(streams: Path, row: Modality) -> list[Clip]:
    clips, dropped = listed_clips(listed(*LENGTHS), streams / row.stream, row)
    assert dropped == {}
    return clips


def training(
    streams: Path, name: str, *, seed: int = 3, augmentation: Augmentation = AUGMENTATION
) -> TrainingSnippets:
    row = modality(name)
    return TrainingSnippets(
        clips_of(streams, row),
        row,
        num_segments=3,
        input_size=SIZE,
        augmentation=augmentation,
        seed=seed,
    )


def scored_set(streams: Path, name: str) -> snippets.ScoringSnippets:
    row = modality(name)
    return snippets.ScoringSnippets(clips_of(streams, row), row, snippets=4)


# -- lists --------------------------------------------------------------------------------------


def test_clips_keep_the_order_and_labels_of_their_list(streams: Path) -> None:
    videos = listed("b/four.avi", "a/one.avi")
    clips, dropped = listed_clips(videos, streams / "flow", modality("flow"))
    assert [(clip.video, clip.label, clip.entries) for clip in clips] == [
        ("b/four.avi", 0, 18),
        ("a/one.avi", 1, 30),
    ]
    assert dropped == {}
    assert all(clip.archive.is_file() for clip in clips)


def write_rows(folder: Path, **rows: tuple[int, str, str]) -> Path:
    folder.mkdir()
    write_manifest(
        [
            ManifestRow(
                video=v,
                entries=n,
                missing=0,
                width=8,
                height=8,
                status=status,
                reason=reason,
                key="k",
            )
            for v, (n, status, reason) in rows.items()
        ],
        folder,
    )
    return folder


def test_quarantined_videos_are_left_out_and_named(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "flow", good=(9, OK, ""), bad=(0, QUARANTINED, "damaged video"))
    clips, dropped = listed_clips(listed("bad", "good"), folder, modality("flow"))
    assert [(clip.video, clip.label) for clip in clips] == [("good", 1)]
    assert dropped == {"bad": "damaged video"}


def test_video_without_a_stream_is_refused(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "flow", good=(9, OK, ""))
    with pytest.raises(ValueError, match=r"manifest.csv has no other; extract flow again"):
        listed_clips(listed("good", "other"), folder, modality("flow"))


def test_video_shorter_than_a_snippet_is_refused(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "flow", short=(4, OK, ""))
    with pytest.raises(ValueError, match="short has 4 entries of flow, a snippet of flow takes 5"):
        listed_clips(listed("short"), folder, modality("flow"))


# -- reading and cropping ----------------------------------------------------------------------


def test_flow_snippet_is_x_y_of_consecutive_entries(streams: Path) -> None:
    with Archive(clips_of(streams, modality("flow"))[1].archive) as archive:
        images = read_snippet(archive, 7, modality("flow"))
    assert all(image.shape == (HEIGHT, WIDTH) for image in images)
    expected = [value for t in range(7, 12) for value in (40 + t, 200 - t)]
    assert [image[0, 0] for image in images] == expected
    assert all((image == image[0, 0]).all() for image in images)


def ramp(row: Modality) -> list[np.ndarray]:
    """The images of a snippet: every pixel of every channel has a value of its own (modulo 251)."""
    channels = row.snippet_length * row.entry_channels
    values = np.arange(HEIGHT * WIDTH * channels).reshape(HEIGHT, WIDTH, channels) % 251
    planes = values.astype(np.uint8)
    if row.entry_channels == 2:
        return [np.ascontiguousarray(planes[..., channel]) for channel in range(channels)]
    return [np.ascontiguousarray(planes[..., c : c + 3]) for c in range(0, channels, 3)]


def cut(images: list[np.ndarray], box: Box, mirrored: bool, row: Modality) -> np.ndarray:
    out = np.empty(snippet_shape(row, SIZE, SIZE), np.uint8)
    cut_snippet(images, box, mirrored, row, out)
    return out


def stacked(images: list[np.ndarray]) -> np.ndarray:
    """(H, W, C)."""
    return np.dstack(images)


BOXES = [Box(5, 3, SIZE, SIZE), Box(0, 0, 40, 35), Box(8, 0, 40, 40), Box(17, 12, 31, 28)]


@pytest.mark.parametrize("name", MODALITIES)
@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("mirrored", [False, True])
def test_cut_is_the_box_of_the_whole_snippet_scaled_and_turned_around(
    name: str, box: Box, mirrored: bool
) -> None:
    """As if the images had been stacked first, and then cropped and scaled as one."""
    row = modality(name)
    images = ramp(row)
    plain = stacked(images)[box.y : box.y + box.height, box.x : box.x + box.width]
    scaled = cv2.resize(np.ascontiguousarray(plain), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    expected = scaled.transpose(2, 0, 1).copy()
    if mirrored:
        expected = expected[:, :, ::-1].copy()
        if row.entry_channels == 2:
            expected[0::2] = 255 - expected[0::2]
    assert np.array_equal(cut(images, box, mirrored, row), expected)
    assert np.array_equal(stacked(images), stacked(ramp(row)))  # not written into


def test_larger_crop_is_scaled_to_the_network_size() -> None:
    images = [np.zeros((64, 64), np.uint8) for _ in range(10)]
    images[1][...] = np.arange(0, 128, 2)  # y rises by 2 a pixel to the right
    crop = cut(images, Box(0, 0, 64, 64), False, modality("flow"))
    # Halving the width averages two neighbours: 0 and 2 give 1, 4 and 6 give 5, ...
    assert crop[1, 10].tolist() == list(range(1, 128, 4))
    assert crop[[0, 2, 9]].max() == 0


# -- training -----------------------------------------------------------------------------------


def batches(dataset: TrainingSnippets, workers: int, positions: range) -> list[torch.Tensor]:
    loader = DataLoader(dataset, batch_size=4, sampler=positions, num_workers=workers)
    return [part for pair in loader for part in pair]


@pytest.mark.parametrize("name", ["rgb_diff", "flow"])
def test_number_of_workers_changes_nothing(streams: Path, name: str) -> None:
    alone = batches(training(streams, name), 0, range(12))
    shared = batches(training(streams, name), 2, range(12))
    assert len(alone) == 6
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_item_depends_on_seed_and_position_alone(streams: Path) -> None:
    dataset = training(streams, "flow")
    in_order = [dataset[i] for i in range(9)]
    for i in (8, 2, 5, 0, 7):  # backwards and across epochs, from a fresh dataset and a used one
        for again in (training(streams, "flow")[i], dataset[i]):
            assert torch.equal(again[0], in_order[i][0])
            assert again[1] == in_order[i][1]


def test_seeds_differ(streams: Path) -> None:
    first, second = training(streams, "flow", seed=3), training(streams, "flow", seed=4)
    assert any(not torch.equal(first[i][0], second[i][0]) for i in range(4))


def test_every_epoch_visits_each_clip_once_in_an_order_of_its_own(streams: Path) -> None:
    dataset = training(streams, "rgb")
    labels = [dataset[i][1] for i in range(40)]
    epochs = [labels[i : i + 4] for i in range(0, 40, 4)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_snippets_start_in_their_segments(streams: Path) -> None:
    """Flow entry t of clip `a/one.avi` holds t in x: 30 entries, segments of 10, starts 0..5."""
    plain = Augmentation(crop_scales=(0.8,), crop_positions=5, mirror=False)
    dataset = training(streams, "flow", augmentation=plain)
    starts = [
        x[:, 0, 0, 0].tolist() for x, label in map(dataset.__getitem__, range(400)) if not label
    ]
    assert np.min(starts, axis=0).tolist() == [0, 10, 20]
    assert np.max(starts, axis=0).tolist() == [5, 15, 25]


def test_short_video_is_read_from_its_start(streams: Path) -> None:
    plain = Augmentation(crop_scales=(0.8,), crop_positions=5, mirror=False)
    dataset = training(streams, "rgb_diff", augmentation=plain)
    shown = next(x for x, label in map(dataset.__getitem__, range(4)) if label == 2)
    assert torch.equal(shown[0], shown[1])
    assert torch.equal(shown[0], shown[2])
    np.testing.assert_allclose(shown[0, ::3, 0, 0], 80 + np.arange(6), atol=1)


def test_half_of_the_videos_are_mirrored_whole(streams: Path) -> None:
    """Clip `a/one.avi` has x = t < 30, and so 255 - t > 225 when mirrored, in all its segments."""
    dataset = training(streams, "flow")
    shown = [x[:, ::2] for x, label in map(dataset.__getitem__, range(400)) if label == 0]
    mirrored = [bool((x > 128).all()) for x in shown]
    assert all(flipped or bool((x < 128).all()) for x, flipped in zip(shown, mirrored, strict=True))
    assert 30 < sum(mirrored) < 70
    never = training(
        streams,
        "flow",
        augmentation=Augmentation(crop_scales=(1.0,), crop_positions=5, mirror=False),
    )
    assert (
        max(int(x[:, 0].max()) for x, label in map(never.__getitem__, range(80)) if not label) < 30
    )


def test_crop_is_the_same_in_all_segments(tmp_path: Path, write_stream: Callable) -> None:
    """A clip that stands still gives equal snippets, differently cropped from item to item."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    still = np.repeat(np.stack([4 * x, 4 * y, x + y], -1)[None].astype(np.uint8), 9, axis=0)
    stream = write_stream(tmp_path, {"a/still.avi": still})
    clips, _ = listed_clips(listed("a/still.avi"), stream, modality("rgb"))
    dataset = TrainingSnippets(
        clips,
        modality("rgb"),
        num_segments=3,
        input_size=SIZE,
        augmentation=AUGMENTATION,
        seed=1,
    )
    items = [dataset[i][0] for i in range(20)]
    assert all(torch.equal(item[0], item[k]) for item in items for k in (1, 2))
    assert len({item.numpy().tobytes() for item in items}) > 10


def test_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="training list is empty"):
        TrainingSnippets(
            [],
            modality("rgb"),
            num_segments=3,
            input_size=SIZE,
            augmentation=AUGMENTATION,
            seed=1,
        )


@pytest.mark.parametrize(
    ("scales", "positions", "message"),
    [
        ((), 13, "crop_scales are fractions"),
        ((1.0, 0.0), 13, r"\(0, 1\], got \(1.0, 0.0\)"),
        ((1.2,), 13, "crop_scales"),
        ((1.0,), 9, "crop_positions is 5 or 13, got 9"),
    ],
)
def test_bad_augmentation_is_refused(
    scales: tuple[float, ...], positions: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(crop_scales=scales, crop_positions=positions, mirror=True)


# -- testing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rgb", "rgb_diff", "flow"])
def test_test_snippets_are_those_of_the_schedule(streams: Path, name: str) -> None:
    dataset = scored_set(streams, name)
    row = dataset.modality
    assert len(dataset) == 4
    for index, clip in enumerate(dataset.clips):
        item = dataset[index]
        assert item.shape == (4, *snippet_shape(row, HEIGHT, WIDTH))
        starts = sampling.testing_starts(clip.entries, 4, row.snippet_length)
        for shown, start in zip(item, starts, strict=True):
            entries = read_entries(clip.archive, range(start, start + row.snippet_length))
            assert np.array_equal(shown, entries.transpose(0, 3, 1, 2).reshape(shown.shape))


@pytest.mark.parametrize("name", MODALITIES)
def test_ten_views_are_corners_and_centre_and_their_mirrors_with_x_inverted(name: str) -> None:
    row = modality(name)
    generator = torch.Generator().manual_seed(1)
    shape = (2, *snippet_shape(row, HEIGHT, WIDTH))
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    before = noise.clone()
    views = cut_views(noise, "ten_crop", SIZE, row)
    assert views.shape == (2, 10, shape[1], SIZE, SIZE)
    corners = [(0, 0), (0, 16), (8, 0), (8, 16), (4, 8)]  # y, x
    for view, (y, x) in zip(views.unbind(1), corners, strict=False):
        assert torch.equal(view, noise[:, :, y : y + SIZE, x : x + SIZE])
    mirrored = views[:, :5].flip(-1)
    if row.entry_channels == 2:
        mirrored[:, :, 0::2] = 255 - mirrored[:, :, 0::2]
    assert torch.equal(views[:, 5:], mirrored)
    assert torch.equal(cut_views(noise, "centre", SIZE, row)[:, 0], views[:, 4])
    assert torch.equal(noise, before)


def test_damaged_archive_keeps_its_message_when_a_worker_reads_it(
    tmp_path: Path, write_stream: Callable
) -> None:
    stream = write_stream(tmp_path, {"a/v.avi": flat_entries(8, 3)})
    clips, _ = listed_clips(listed("a/v.avi"), stream, modality("rgb"))
    clips[0].archive.write_bytes(clips[0].archive.read_bytes()[:-40])
    dataset = snippets.ScoringSnippets(clips, modality("rgb"), snippets=2)
    for workers in (0, 1):
        with pytest.raises(ValueError, match=r"v\.avi\.zip: .*Delete the file and run"):
            list(DataLoader(dataset, batch_size=None, num_workers=workers))
