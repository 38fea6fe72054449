"""Pictures that raise a class, of networks whose wishes are known."""

from dataclasses import replace

import pytest
import torch
from networks_by_hand import mean_network

from tsn.modality import MODALITIES, modality
from tsn.snippets.normalise import normalise
from tsn.visualisation.ascent import (
    MIDDLE,
    OF_IMAGES,
    OF_MOTION,
    Ascent,
    ascend,
    probabilities,
    snippets_of,
)

SIZE = 16
BRIEF = {"octaves": (0.5, 1.0), "steps": 10, "starts": 2}


def made(name: str, labels: list[int], seed: int = 1, ascent: Ascent = OF_IMAGES) -> torch.Tensor:
    steps = ascend(
        mean_network(name),
        modality(name),
        labels,
        size=SIZE,
        ascent=replace(ascent, **BRIEF),
        seed=seed,
    )
    return list(steps)[-1]


def test_each_class_gets_the_colour_that_it_is_told_by() -> None:
    pictures = made("rgb", [0, 1, 2])
    assert pictures.shape == (3, 3, SIZE, SIZE)
    assert pictures.min() >= 0 and pictures.max() <= 255
    colours = pictures.mean(dim=(2, 3))
    for label in range(3):
        others = [channel for channel in range(3) if channel != label]
        assert colours[label, label] > colours[label, others].max() + 20
    network, row = mean_network("rgb"), modality("rgb")
    noise = MIDDLE + 40 * torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    before, after = (probabilities(network, row, x).diagonal() for x in (noise, pictures))
    assert (after > before).all() and after.min() > 0.9


@pytest.mark.parametrize("name", ["flow", "warped_flow"])
def test_each_class_gets_the_direction_that_it_is_told_by(name: str) -> None:
    """Class 0 goes right, class 1 down: the other coordinate is worth nothing to either."""
    right, down = made(name, [0, 1], ascent=OF_MOTION).mean(dim=(2, 3)) - MIDDLE
    assert right[0] > right[1] + 2
    assert down[1] > down[0] + 2


@pytest.mark.parametrize("name", MODALITIES)
def test_the_network_is_shown_the_picture_as_often_as_a_snippet_has_entries(name: str) -> None:
    row, inputs = modality(name), mean_network(name).row.inputs
    pictures = 255 * torch.rand(2, row.entry_channels, 5, 7)
    seen = normalise(snippets_of(pictures, row), row, inputs)
    assert seen.shape == (2, row.channels, 5, 7)
    repeats = row.channels // row.entry_channels
    for entry in seen.split(row.entry_channels, dim=1):
        torch.testing.assert_close(entry, seen[:, : row.entry_channels], atol=1e-3, rtol=0)
    if row.centre is not None:  # grey is no change and no motion
        mean_value = seen.view(2, repeats, -1).mean(dim=(1, 2))
        grey = torch.full_like(pictures, MIDDLE)
        assert normalise(snippets_of(grey, row), row, inputs).abs().max() == 0
        assert torch.equal(mean_value > 0, (pictures - MIDDLE).mean(dim=(1, 2, 3)) > 0)


def test_equal_seeds_give_equal_bits_and_other_seeds_other_pictures() -> None:
    first, again, other = (made("rgb", [1], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1)


def test_a_class_has_the_same_picture_whichever_others_are_asked_for() -> None:
    together, alone = made("rgb", [2, 0]), made("rgb", [0])
    torch.testing.assert_close(together[1:], alone, atol=0.1, rtol=0)


def test_the_network_stays_as_it_is() -> None:
    network = mean_network("rgb")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ascent = replace(OF_IMAGES, **BRIEF)
    for _ in ascend(network, modality("rgb"), [0], size=SIZE, ascent=ascent, seed=1):
        pass
    assert all(torch.equal(before[n], tensor) for n, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
