"""The generated still images: seeded, labelled, grounds of the hue that their label says."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from small_configs import SOLVER

from tsn.training import pretext
from tsn.training.pretext import HUES, NUM_CLASSES, SHAPES, PretextImages, pretext_image
from tsn.training.settings import PretextConfig
from tsn.training.solver import Iteration

CONFIG = PretextConfig(
    seed=3,
    backbone="bn_inception_quarter",
    input_size=32,
    solver=replace(SOLVER, iterations=3, batch_size=4, micro_batch=2, base_lr=0.05, clip_norm=40.0),
)


def test_image_depends_on_seed_and_position_alone() -> None:
    images, again = PretextImages(32, seed=1), PretextImages(32, seed=1)
    backwards = {i: again[i] for i in reversed(range(6))}
    for i in range(6):
        assert torch.equal(images[i][0], backwards[i][0])
        assert images[i][1] == backwards[i][1]
    assert not torch.equal(images[0][0], PretextImages(32, seed=2)[0][0])
    assert not torch.equal(images[0][0], images[1][0])


def test_labels_cover_every_shape_and_hue_evenly() -> None:
    images = PretextImages(16, seed=1)
    counts = np.bincount([images[i][1] for i in range(1800)], minlength=NUM_CLASSES)
    assert len(counts) == NUM_CLASSES == len(SHAPES) * len(HUES)
    assert counts.min() > 25  # 50 expected, deviation 7
    assert images[0][0].shape == (3, 16, 16)
    assert images[0][0].dtype == torch.uint8


@pytest.mark.parametrize("label", range(0, NUM_CLASSES, 5))
def test_ground_has_the_hue_of_its_class(label: int) -> None:
    """The outermost ring of pixels is ground, but for a shape that touches it somewhere."""
    hue = HUES[label % len(HUES)]
    for seed in range(5):
        image = pretext_image(label, 48, np.random.default_rng(seed))
        hues = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., 0].astype(int)
        border = np.concatenate([hues[0], hues[-1], hues[:, 0], hues[:, -1]])
        distance = np.abs((border - hue + 90) % 180 - 90)
        assert np.median(distance) <= 10  # 8 of jitter, and rounding of dark colours


def test_figures_differ_from_their_ground_and_from_each_other() -> None:
    """Drawn with one generator state, images of two shapes differ only in the figure's pixels."""
    images = [
        pretext_image(shape * len(HUES), 64, np.random.default_rng(4))
        for shape in range(len(SHAPES))
    ]
    for i, one in enumerate(images):
        for other in images[:i]:
            differing = (one != other).any(axis=2)
            assert 0.005 < differing.mean() < 0.6


def trained(workers: int) -> tuple[list[Iteration], dict[str, torch.Tensor]]:
    network = pretext.pretext_network(CONFIG)
    training = pretext.pretext_training(
        network, CONFIG, device=torch.device("cpu"), workers=workers
    )
    return list(training.iterate(0)), network.state_dict()


def test_same_seed_pretrains_the_same_network() -> None:
    (log, state), (other_log, other_state) = trained(workers=0), trained(workers=1)
    assert [step.iteration for step in log] == [0, 1, 2]
    assert log == other_log
    assert all(torch.equal(tensor, other_state[name]) for name, tensor in state.items())


def test_all_batch_statistics_are_learned() -> None:
    fresh = pretext.pretext_network(CONFIG).state_dict()
    _, state = trained(workers=0)
    moved = [n for n in state if n.endswith("running_mean") and not torch.equal(state[n], fresh[n])]
    assert len(moved) == 69


def test_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'"):
        PretextConfig(seed=1, backbone="vgg", input_size=32, solver=CONFIG.solver)
