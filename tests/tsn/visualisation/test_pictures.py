"""What a trained network is asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_by_hand import SIZE, write_model

from tsn.visualisation import pictures
from tsn.visualisation.ascent import OF_IMAGES, OF_MOTION
from tsn.visualisation.pictures import ClassPictures, prepare_visualisation

BRIEF = {"octaves": (1.0,), "steps": 1, "starts": 1}


def shown(folder: Path, classes: list[str]) -> ClassPictures:
    coming = prepare_visualisation(folder, classes, torch.device("cpu"))
    steps = list(coming.steps())
    assert len(steps) == coming.total
    return coming.result(dict(steps))


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {None: OF_IMAGES}
    monkeypatch.setattr(
        pictures, "ascent_for", lambda row: replace(chosen.get(row.centre, OF_MOTION), **BRIEF)
    )


def test_an_unknown_class_is_refused_with_those_there_are(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "rgb", "rgb")
    with pytest.raises(ValueError, match=r"rgb: no class 'Blue'; it has: blue, green, red$"):
        prepare_visualisation(folder, ["red", "Blue"], torch.device("cpu"))


def test_classes_beyond_a_part_are_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "flow", "flow")
    together = shown(folder, ["red", "blue", "green"])
    monkeypatch.setattr(pictures, "AT_ONCE", 2)
    apart = shown(folder, ["red", "blue", "green"])
    assert list(together.views) == list(apart.views) == ["x", "y", "in colours"]
    for view, images in together.views.items():
        assert [image.shape for image in images] == [(SIZE, SIZE, 3)] * 3
        for one, two in zip(images, apart.views[view], strict=True):
            assert np.abs(one.astype(int) - two).mean() < 2
    np.testing.assert_allclose(together.sure, apart.sure, atol=1e-3)
