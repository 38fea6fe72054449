"""A picture of moments has every modality in its place."""

import numpy as np

from tsn.drawing.modality_sheet import Moment, modality_sheet


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
