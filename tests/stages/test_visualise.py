"""The visualise programs: as a stage, and for several settings side by side."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from networks_by_hand import CLASSES, write_model

from stages import visualise
from stages.operate import visualise as side_by_side
from tsn.model.checkpoint import CheckpointError
from tsn.records import RecordError
from tsn.visualisation import pictures
from tsn.visualisation.ascent import OF_IMAGES

MACHINE = """
machine:
  device: cpu
  processes: 1
  threads: 1
  workers: 0
  checkpoint_seconds: 60
  reading: {pixels: 1, frames: 1, seconds_per_frame: 1, seconds: 1, gigabytes: 1}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = replace(OF_IMAGES, octaves=(1.0,), steps=1, starts=1)
    monkeypatch.setattr(pictures, "ascent_for", lambda _: brief)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(f"modalities: [rgb, flow]\nsplits: [2, 1]\n{MACHINE}")
    Path("recipes").mkdir()
    Path("recipes/toy.yaml").write_text("train: {}\n")


def compare(*settings: str, **more: tuple[str, ...]) -> dict[str, dict[str, dict[str, object]]]:
    chosen = {"classes": (), "modalities": (), **more}
    side_by_side.main(side_by_side.Options(settings=settings, out=Path("out"), **chosen))
    found: dict[str, dict[str, dict[str, object]]] = json.loads(
        Path("out/pictures.json").read_text()
    )
    return found


def test_the_stage_draws_the_modalities_that_are_run() -> None:
    for name in ("rgb", "flow", "warped_flow"):  # the last one is left from before
        write_model(Path("models") / name, name)
    options = visualise.Options(dataset="toy", models=Path("models"), out=Path("plots/all.jpg"))
    visualise.main(options)
    first = Path("plots/all.jpg").read_bytes()
    visualise.main(options)
    assert Path("plots/all.jpg").read_bytes() == first
    height, width = cv2.imread("plots/all.jpg").shape[:2]
    assert width > height  # one picture and three of each of three classes


def test_settings_stand_side_by_side_in_a_picture_of_each_modality() -> None:
    for folder, name in (("toy/2", "rgb"), ("toy/2", "flow"), ("other", "rgb")):
        write_model(Path("models") / folder / name, name)
    found = compare("toy", "scratch=models/other", "models/other/rgb")
    assert {name: list(row) for name, row in found.items()} == {
        "rgb": ["toy", "scratch", "models/other/rgb"],
        "flow": ["toy"],
    }
    assert found["rgb"]["scratch"]["model"] == "models/other/rgb"
    assert list(found["rgb"]["toy"]["probability"]) == list(CLASSES)
    three, one = (cv2.imread(f"out/{name}.jpg").shape for name in ("rgb", "flow"))
    assert three == one  # three networks, and x, y and colours of one
    chosen = compare("toy", classes=("red",), modalities=("flow",))
    assert {name: list(row["toy"]["probability"]) for name, row in chosen.items()} == {
        "flow": ["red"]
    }


@pytest.mark.parametrize(
    ("settings", "more", "error"),
    [
        (("nonesuch",), {}, r"recipes/nonesuch.yaml: no such recipe; there are: toy"),
        (("a=models/none",), {}, "models/none: no such folder; give that of a model or of a split"),
        (("models",), {}, "models: no model here, and no folder of models; train them"),
        (("models/1",), {"modalities": ("flow",)}, "models/1: no model of flow"),
        (("models/1",), {"modalities": ("sound",)}, "unknown modality 'sound'; one of: rgb"),
        (("models/1",), {"classes": ("pink",)}, "no class 'pink'; it has: blue, green, red"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    settings: tuple[str, ...], more: dict[str, tuple[str, ...]], error: str
) -> None:
    write_model(Path("models/1/rgb"), "rgb")
    with pytest.raises((ValueError, OSError, RecordError, CheckpointError), match=error):
        compare(*settings, **more)


@pytest.mark.parametrize(("count", "expected"), [(3, [0, 1, 2]), (101, [0, 9, 18, 27])])
def test_many_classes_are_shown_by_some_from_everywhere(count: int, expected: list[int]) -> None:
    classes = [f"class {number}" for number in range(count)]
    shown = visualise.spread(classes)
    assert [classes.index(name) for name in shown][:4] == expected
    assert len(shown) == min(count, visualise.MOST_CLASSES) and shown[-1] == classes[-1]
