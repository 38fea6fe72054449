"""Pictures of flow: the usual colours, and every modality in its place."""

import numpy as np
import torch
from torchvision.utils import flow_to_image

from tsn.drawing.modality_sheet import Moment, colour_wheel, flow_colours, modality_sheet


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


def test_sheet_has_a_row_per_moment_with_every_modality() -> None:
    def moment(level: int) -> Moment:
        frame = np.full((32, 200, 3), level, dtype=np.uint8)
        flow = np.full((32, 200, 2), 10.0, dtype=np.float32)
        return Moment(
            title="a",
            frame0=frame,
            frame1=frame + 20,
            flow=flow,
            warped=-flow,
            supported=True,
        )

    one, two = (modality_sheet([moment(90)] * rows, 20.0) for rows in (1, 2))
    assert two.shape[1] == one.shape[1] == 8 * 208
    assert two.shape[0] - one.shape[0] == 32 + 18 + 4
    row = one[18 + 16, 4 + 100 :: 208, 0].tolist()
    # 128 + 20; round(255 * 30 / 40) and round(255 * 10 / 40)
    assert row[:4] == [90, 148, 191, 191] and row[5:7] == [64, 64]
