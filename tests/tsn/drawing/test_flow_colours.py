"""Flow in the usual colours."""

import numpy as np
import torch
from torchvision.utils import flow_to_image

from tsn.drawing.flow_colours import colour_wheel, flow_colours


def test_colours_are_those_of_torchvision() -> None:
    flow = np.random.default_rng(1).normal(size=(20, 30, 2)).astype(np.float32)
    longest = float(np.linalg.norm(flow, axis=2).max())  # what torchvision scales by
    theirs = flow_to_image(torch.from_numpy(flow.transpose(2, 0, 1))).numpy()
    ours = flow_colours(flow, longest).transpose(2, 0, 1)[::-1]
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_colours_by_hand() -> None:
    flow = np.array([[[0, 0], [2, 0], [1, 0], [8, 0]]], dtype=np.float32)
    blue, green, red = flow_colours(flow, 2.0)[0].astype(int).T
    assert [blue[0], green[0], red[0]] == [255, 255, 255]  # still
    assert red[1] == 255 and blue[1] < 25 and green[1] < 25  # right, at the bound
    assert red[2] == 255 and 120 <= green[2] <= 140  # half as fast, half as strong
    assert red[3] == 191  # beyond the bound: darkened


def test_wheel_is_white_in_the_middle_and_around_it() -> None:
    wheel = colour_wheel(31)
    assert (wheel[15, 15] == 255).all() and (wheel[0, 0] == 255).all()
    assert not (wheel[15, 30] == 255).all()
