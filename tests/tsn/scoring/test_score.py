"""The score of a video against the same taken apart: one crop after another, means in numpy."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_configs import NETWORK

from tsn.lists import ListedVideo
from tsn.modality import modality
from tsn.model.network import TemporalSegmentNetwork, build_network
from tsn.scoring import score as scoring
from tsn.snippets import crops as geometry
from tsn.snippets import sampling
from tsn.snippets.dataset import Clip, ScoringSnippets, listed_clips
from tsn.streams.archives import read_entries

CPU = torch.device("cpu")
NUM_SNIPPETS, SIZE = 3, 32
FLOW = modality("flow")


def network() -> TemporalSegmentNetwork:
    built = build_network(
        replace(NETWORK, dropout=0.9),
        in_channels=10,
        num_classes=4,
        generator=torch.Generator().manual_seed(1),
    )
    with torch.no_grad():
        built.fc.weight.mul_(100)
    return built


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_stream: Callable) -> list[Clip]:
    generator = np.random.default_rng(1)
    videos = {
        f"a/{length}.avi": generator.integers(0, 256, (length, 36, 44, 2), dtype=np.uint8)
        for length in (12, 5)  # the second is one snippet long
    }
    stream = write_stream(tmp_path_factory.mktemp("flow"), videos)
    found, _ = listed_clips([ListedVideo(v, 0, "g", ()) for v in videos], stream, FLOW)
    return found


def score(
    net: TemporalSegmentNetwork, clips: list[Clip], *, batch: int, workers: int = 0
) -> list[np.ndarray]:
    config = scoring.ScoringConfig(snippets=NUM_SNIPPETS, crops="ten_crop", batch=batch)
    testing = scoring.ScoringProtocol(config=config, size=SIZE)
    dataset = ScoringSnippets(clips, FLOW, snippets=NUM_SNIPPETS)
    scored = scoring.score_videos(net, dataset, testing, device=CPU, workers=workers)
    return list(scored)


@torch.no_grad()
def naive_snippet_scores(net: TemporalSegmentNetwork, clip: Clip) -> np.ndarray:
    """(S, classes): each crop cut, mirrored, normalised and scored by itself."""
    rows = []
    for start in sampling.testing_starts(clip.entries, NUM_SNIPPETS, 5):
        entries = read_entries(clip.archive, range(start, start + 5)).astype(np.float32)  # T H W C
        alone = []
        for box, mirrored in geometry.testing_crops("ten_crop", 44, 36, SIZE):
            crop = entries[:, box.y : box.y + SIZE, box.x : box.x + SIZE]
            if mirrored:
                crop = crop[:, :, ::-1] * [-1, 1] + [255, 0]
            planes = crop.transpose(0, 3, 1, 2).reshape(10, SIZE, SIZE) - 128
            pixels = torch.from_numpy(np.ascontiguousarray(planes)).float()
            alone.append(net.snippet_scores(pixels[None])[0].numpy())
        rows.append(np.mean(alone, axis=0))
    return np.stack(rows)


def test_scores_are_means_over_crops_of_what_the_network_says(clips: list[Clip]) -> None:
    net = network()
    net.train()  # scoring has to switch dropout off itself
    scored = score(net, clips, batch=7)
    net.eval()
    assert len(scored) == len(clips)
    for snippets, clip in zip(scored, clips, strict=True):
        expected = naive_snippet_scores(net, clip)
        assert expected.std(axis=1).min() > 0.01
        np.testing.assert_allclose(snippets, expected, rtol=0, atol=1e-4)


def test_every_snippet_of_the_shortest_video_is_the_same(clips: list[Clip]) -> None:
    _, shortest = score(network(), clips, batch=10)
    assert np.array_equal(shortest[0], shortest[1])
    assert np.array_equal(shortest[0], shortest[2])


def test_batched_is_single_and_shared_is_alone(clips: list[Clip]) -> None:
    net = network()
    single = score(net, clips, batch=1)
    for batch, workers in ((7, 0), (1000, 0), (1, 1)):
        for one, other in zip(single, score(net, clips, batch=batch, workers=workers), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_video_score_is_the_mean_over_snippets() -> None:
    snippets = [np.array([[1, 5], [3, 1]], np.float32), np.array([[0, 0], [2, -2]], np.float32)]
    assert scoring.video_scores(snippets).tolist() == [[2, 3], [1, -1]]


@pytest.mark.parametrize(
    ("snippets", "crops", "batch", "message"),
    [
        (0, "ten_crop", 1, "snippets is 0, expected 1 to"),
        (25, "ten_crop", 0, "batch is 0, expected 1 to"),
        (25, "five_crop", 1, "unknown crops 'five_crop'; one of: ten_crop, centre"),
    ],
)
def test_bad_config_is_refused(snippets: int, crops: str, batch: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scoring.ScoringConfig(snippets=snippets, crops=crops, batch=batch)


def test_a_cpu_takes_as_many_crops_at_once_as_it_is_fast_with() -> None:
    config = scoring.ScoringConfig(snippets=25, crops="ten_crop", batch=100)
    gpu = torch.device("cuda")
    big = scoring.ScoringProtocol(config=config, size=224)
    assert (big.crops_at_once(CPU), big.crops_at_once(gpu)) == (8, 100)
    small = scoring.ScoringProtocol(config=config, size=56)
    assert small.crops_at_once(CPU) == 100
