"""What cells cost: numbers worked by hand, and the same cells as dvc.yaml has."""

from itertools import product

import pytest
from ruamel.yaml import YAML
from workspace import ROOT

from stages.operate.clips import Clips
from stages.operate.cost import (
    Cell,
    cells_of,
    core_seconds,
    counted,
    quick_cells,
    readable_size,
    seconds_of,
    spoken,
    stream_bytes,
)
from tsn.lists import ListedVideo, SplitLists

SPLITS, MODALITIES = (1, 2), ("rgb", "flow")
VIDEOS = tuple(ListedVideo(f"a/{n}.avi", 0, "", ()) for n in range(30))
CLIPS = Clips(
    lists=SplitLists(classes=("a", "b"), train={1: VIDEOS[:20]}, test={1: VIDEOS[20:]}),
    frames=1000,
)
RECIPE = {
    "extract": {
        "rgb": {"width": 100, "height": 100},
        "rgb_diff": {"width": 100, "height": 100},
        "flow": {"width": 100, "height": 100},
    },
    "init": {"weights_package": {"backbone": "bn_inception"}},
    "train": {
        "rgb": {
            "input_size": 112,
            "network": {"backbone": "bn_inception", "num_segments": 3},
            "solver": {"iterations": 10, "batch_size": 4},
        }
    },
    "score": {"snippets": 5, "crops": "ten_crop"},
    "baseline": {"snippets": 2, "input_size": 224},
}


def test_cells_are_those_of_the_pipeline() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    values = {
        "dataset": ["x"],
        "split": list(SPLITS),
        "modality": list(MODALITIES),
        "${datasets}": ["x"],
        "${splits}": list(SPLITS),
        "${modalities}": list(MODALITIES),
        "${splits[0]}": SPLITS[0],
        "${modalities[0]}": MODALITIES[0],
    }
    expected = []
    for stage, row in stages.items():
        axes = row.get("matrix", {})
        choices = [
            values[axis] if isinstance(axis, str) else [values[word] for word in axis]
            for name, axis in axes.items()
        ]
        if axes:
            for point in product(*choices):
                place = dict(zip(axes, point, strict=True)) | {"dataset": None}
                place.pop("dataset")
                expected.append(Cell(stage=stage, **place))
    key = lambda cell: (cell.stage, cell.split or 0, cell.modality or "")  # noqa: E731
    assert sorted(cells_of(SPLITS, MODALITIES), key=key) == sorted(expected, key=key)
    assert set(quick_cells(SPLITS, MODALITIES)) < set(expected)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        (Cell(stage="download"), 4),
        (Cell(stage="split"), 4 + 1000 * 0.0002),
        (Cell(stage="extract", modality="rgb"), 4 + 1000 * (0.3e-3 + 10_000 * 5e-9)),
        (Cell(stage="pretrain"), 4),
        # 120 snippets: a quarter of the pixels of 224 x 224, and a frame to read
        (Cell(stage="train", split=1, modality="rgb"), 4 + 120 * (0.07 / 4 + 1e-4 + 5e-5)),
        # 10 clips of 5 snippets of 10 crops, forward alone
        (
            Cell(stage="score", split=1, modality="rgb"),
            4 + 50 * (1e-4 + 5e-5 + 10 * 0.07 / 4 / 4),
        ),
        (
            Cell(stage="baseline", split=1, modality="rgb"),
            4 + 60 * (1e-4 + 5e-5 + 0.07 / 4),
        ),
        (Cell(stage="visualise", split=1), 8 + 2 * 180 * 0.07 / 4),
    ],
)
def test_seconds_of_a_cell(cell: Cell, seconds: float) -> None:
    assert core_seconds(cell, RECIPE, CLIPS) == pytest.approx(seconds)


def test_generated_weights_take_their_training() -> None:
    pretext = {"backbone": "bn_inception", "input_size": 224}
    solver = {"iterations": 5, "batch_size": 2}
    recipe = {**RECIPE, "init": {"pretext": {**pretext, "solver": solver}}}
    assert core_seconds(Cell(stage="pretrain"), recipe, CLIPS) == pytest.approx(4 + 10 * 0.07)


def test_many_cores_take_no_less_than_the_longest_cell() -> None:
    cells = [Cell(stage="download"), Cell(stage="split")]
    assert seconds_of(cells, RECIPE, CLIPS, cores=1) == 8.2
    assert seconds_of(cells, RECIPE, CLIPS, cores=2) == 4.2


def test_what_modalities_share_is_kept_once() -> None:
    frames = 1000 * 10_000 * 0.32
    assert stream_bytes(RECIPE, ["rgb", "rgb_diff"], CLIPS) == pytest.approx(frames)
    both = stream_bytes(RECIPE, ["rgb", "flow"], CLIPS)
    assert both == pytest.approx(frames + 1000 * 10_000 * 0.07)


def test_times_are_said_as_people_say_them() -> None:
    said = [spoken(seconds) for seconds in (20, 40, 9 * 60, 80 * 60, 30 * 3600)]
    assert said == ["< 1 min", "1 min", "9 min", "1 h 20 min", "30 h"]


def test_sizes_are_read_in_megabytes_and_gigabytes() -> None:
    assert [readable_size(size) for size in (56e6, 1.94e9)] == ["56 MB", "1.9 GB"]


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "core") for number in (0, 1, 2)] == ["0 cores", "1 core", "2 cores"]
    assert counted(2, "modality", "modalities") == "2 modalities"
