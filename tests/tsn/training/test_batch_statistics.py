"""Running statistics far from the batches': said, and only then."""

import logging
from dataclasses import replace
from itertools import repeat

import pytest
import torch
from small_configs import SOLVER
from torch import nn

from tsn.training.batch_statistics import warn_of_gaps, watched
from tsn.training.solver import make_optimizer, solve


def inputs() -> torch.Tensor:
    """Two channels of mean 10 and standard deviation 2."""
    noise = torch.randn(64, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    return 10 + 2 * noise


def test_gap_is_the_ratio_of_variances_and_the_distance_of_means() -> None:
    layer = nn.BatchNorm2d(2, momentum=1e-9)  # stays at mean 0, variance 1
    with watched(nn.Sequential(layer)) as seen:
        layer(inputs())
    ratio, shift = seen["0"].gap()
    assert ratio == pytest.approx(4, rel=0.05)
    assert shift == pytest.approx(5, rel=0.05)
    layer(inputs())
    assert len(seen["0"].means) == 1  # nothing is watched any more


@pytest.mark.parametrize(("momentum", "warned"), [(0.01, True), (1.0, False)])
def test_layer_that_has_not_arrived_is_told(
    momentum: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    network = nn.Sequential(nn.Identity(), nn.BatchNorm2d(2, momentum=momentum))
    with caplog.at_level(logging.WARNING), watched(network) as seen:
        for _ in range(3):
            network(inputs())
    warn_of_gaps(seen)
    assert ("of 1 of 1 batch normalisations" in caplog.text) is warned
    assert ("The farthest is 1: its variance is off by" in caplog.text) is warned


def test_frozen_layers_are_not_watched() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2).eval())
    with watched(network) as seen:
        network(inputs())
    assert list(seen) == ["0"]


def test_training_tells_it_after_its_last_iteration(caplog: pytest.LogCaptureFixture) -> None:
    layer = nn.BatchNorm2d(2, momentum=0.01)
    network = nn.Sequential(layer, nn.Flatten(), nn.Linear(128, 2))
    solver = replace(SOLVER, iterations=2, batch_size=1, base_lr=1e-4)
    group = {"params": list(network.parameters()), "lr_mult": 1.0, "decay_mult": 1.0}
    batches = repeat((inputs(), torch.zeros(64, dtype=torch.long)))
    steps = solve(network, make_optimizer([group], solver), batches, solver, seed=1, start=0)
    with caplog.at_level(logging.WARNING):
        next(steps)
        assert not caplog.text
        next(steps)
    assert "of 1 of 1 batch normalisations" in caplog.text
