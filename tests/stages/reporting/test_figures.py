"""Figures: what they refuse, what they order, and that equal data are equal bytes."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from stages.reporting.figures.class_pictures import Column, draw_class_pictures
from stages.reporting.figures.confusion_matrix import draw_confusion_matrix
from stages.reporting.figures.fusion_bars import draw_fusion_bars
from stages.reporting.figures.per_class_bars import _order_classes, draw_per_class_bars
from stages.reporting.figures.style import COLOURS, DARK, FUSION_COLOURS, WIDTH, colour_series
from stages.reporting.figures.tag_bars import draw_tag_bars
from stages.reporting.figures.training_curves import draw_training_curves
from stages.reporting.published import PublishedAccuracy
from stages.reporting.results import Results, Row
from stages.reporting.tested import VideoCounts
from tsn.modality import MODALITIES

MEAN = {
    name: Row(
        mean_class_accuracy=accuracy,
        top1=accuracy,
        top5=1.0,
        by_tag={"pan": accuracy / 2},
        spread=0.02,
    )
    for name, accuracy in (("rgb", 0.5), ("flow", 0.6), ("two_stream", 0.9))
}
RESULTS = Results(
    dataset="d",
    splits={1: MEAN},
    weights={
        "rgb": {"rgb": 1.0},
        "flow": {"flow": 1.0},
        "two_stream": {"rgb": 1.0, "flow": 1.5},
    },
    headline="two_stream",
    wanted="two_stream",
    not_run={},
    published={"rgb": PublishedAccuracy(0.7, "K = 3, project page")},
    learned={},
    tested=VideoCounts(splits={1: 60}, classes={"a": 60}, tags={"pan": 9}),
)
LOG = pd.DataFrame(
    {
        "iteration": range(1, 101),
        "loss": np.linspace(2, 0.1, 100),
        "accuracy": np.linspace(0.1, 1, 100),
        "lr": [0.01] * 50 + [0.001] * 50,
    }
)
GREYS = [np.full((8, 8, 3), level, np.uint8) for level in (40, 90, 140)]
COLUMN = Column(heading="rgb", pictures=GREYS, captions=["1%", "50%", "100%"])
DRAW = {
    "pictures": lambda path: draw_class_pictures([COLUMN], ["a", "b" * 80, "c"], path, "t"),
    "confusion": lambda path: draw_confusion_matrix(np.eye(3, dtype=int), list("abc"), path),
    "classes": lambda path: draw_per_class_bars(
        {"rgb": [0.1, 0.5], "flow": [0.3, 0.4]}, ["a", "b"], path
    ),
    "curves": lambda path: draw_training_curves({"rgb": LOG, "flow": LOG}, path),
    "fusion": lambda path: draw_fusion_bars(RESULTS, path),
    "tags": lambda path: draw_tag_bars(MEAN, {"pan": 9}, list(MEAN), path),
}


def longest_bar(path, colour):
    """The most pixels of exactly the colour `#RRGGBB` in one line of the image."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    image = cv2.imread(str(path))[:, :640]  # without the names beside the border, in colour too
    return int((image == rgb[::-1]).all(axis=2).sum(axis=1).max())


@pytest.mark.parametrize("figure", DRAW)
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_equal_data_are_equal_bytes(tmp_path, figure, suffix):
    first, second = tmp_path / f"1{suffix}", tmp_path / "folder" / f"2{suffix}"
    DRAW[figure](first)
    DRAW[figure](second)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 1000


def test_a_bar_is_as_long_as_its_accuracy(tmp_path):
    path = tmp_path / "a.png"
    draw_per_class_bars({"rgb": [0.25, 0.25], "flow": [0.5, 0.5]}, ["a", "b"], path)
    rgb, flow = (longest_bar(path, COLOURS[name]) for name in ("rgb", "flow"))
    assert rgb > 100
    assert flow == pytest.approx(2 * rgb, abs=3)


def test_no_two_rows_of_the_recipes_have_one_colour():
    combinations = [f"combination_{number}" for number in range(len(FUSION_COLOURS))]
    names = [*MODALITIES, *combinations, "learned", "baseline"]
    assert len(set(colour_series(names).values())) == len(names)


def test_the_baseline_is_a_line_and_no_bar(tmp_path):
    """The bars are where they were, so that the figure is as high."""
    with_line = {**MEAN, "baseline": replace(MEAN["rgb"], mean_class_accuracy=0.3)}
    images = []
    for name, mean in (("bars", MEAN), ("line", with_line)):
        draw_fusion_bars(replace(RESULTS, splits={1: mean}), tmp_path / f"{name}.png")
        images.append(cv2.imread(str(tmp_path / f"{name}.png")))
    assert images[0].shape == images[1].shape
    assert not np.array_equal(images[0], images[1])
    draw_tag_bars(with_line, {"pan": 9}, list(with_line), tmp_path / "tags.png")


def test_classes_go_from_flow_to_rgb():
    percent = {
        "rgb": np.array([90.0, 10.0, 50.0, 80.0]),
        "flow": np.array([10.0, 90.0, 50.0, 70.0]),
    }
    order, border = _order_classes(percent)
    assert list(order) == [1, 2, 3, 0]
    assert border == (1, 2)


def test_without_the_contrast_classes_go_from_best_to_worst():
    order, border = _order_classes({"rgb": np.array([20.0, 90.0, 50.0])})
    assert list(order) == [1, 2, 0]
    assert border is None


def test_many_classes_fit(tmp_path):
    classes = [f"Class{i}" for i in range(101)]
    accuracy = np.linspace(0, 1, 101)
    draw_per_class_bars({"rgb": accuracy, "flow": 1 - accuracy}, classes, tmp_path / "bars.png")
    draw_confusion_matrix(np.eye(101, dtype=int), classes, tmp_path / "matrix.png")
    height, width = cv2.imread(str(tmp_path / "bars.png")).shape[:2]
    assert height > 101 * 20
    assert width == round(150 * WIDTH)


def test_a_class_without_videos_is_drawn_empty(tmp_path):
    matrix = np.array([[2, 0], [0, 0]])
    draw_confusion_matrix(matrix, ["a", "b"], tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").is_file()


def test_a_modality_keeps_its_colour():
    alone = colour_series(["flow"])
    among = colour_series(["two_stream", "flow", "champion", "three_stream"])
    assert alone["flow"] == among["flow"] == COLOURS["flow"]
    assert len(set(among.values())) == 4


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"expected the shape \(2, 2\), found \(3, 3\)"):
        draw_confusion_matrix(np.eye(3, dtype=int), ["a", "b"], tmp_path / "a.png")
    with pytest.raises(ValueError, match="of flow: expected 2 values, found 1"):
        draw_per_class_bars({"flow": [0.5]}, ["a", "b"], tmp_path / "a.png")
    with pytest.raises(ValueError, match="hold no tag"):
        draw_tag_bars({"rgb": replace(MEAN["rgb"], by_tag={})}, {}, ["rgb"], tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.gif: a figure is a \.png, an \.svg or a \.jpg file"):
        draw_fusion_bars(RESULTS, tmp_path / "a.gif")


def test_pictures_of_other_classes_than_those_named_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^rgb: expected 2 pictures, got 3$"):
        draw_class_pictures([COLUMN], ["a", "b"], tmp_path / "a.png", "t")


def test_no_two_rows_have_one_colour_on_a_dark_page():
    names = [*MODALITIES, *(f"c{number}" for number in range(len(FUSION_COLOURS))), "learned"]
    dark = [DARK.get(colour, colour) for colour in colour_series(names).values()]
    assert len(set(dark)) == len(names)


def test_a_combination_has_its_colour_where_others_are_left_out(tmp_path):
    """In the figure of classes, which shows modalities and the headline alone."""
    colours = colour_series(["rgb", "flow", "first", "second"])
    rows = {"rgb": [0.5], "second": [0.5]}
    draw_per_class_bars(rows, ["a"], tmp_path / "a.png", "t", colours)
    assert longest_bar(tmp_path / "a.png", FUSION_COLOURS[1]) > 100


@pytest.mark.parametrize("rates", [[0.05] * 50 + [5e-4] * 50, [0.01 * 0.99**i for i in range(100)]])
def test_the_axis_of_learning_rates_has_numbers(tmp_path, rates):
    """And no markup, where there are a few rates, and where there are many."""
    draw_training_curves({"rgb": LOG.assign(lr=rates)}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "$" not in text and "math" not in text
    assert f">{rates[0]:g}</text>" in text


def test_a_training_of_no_iterations_has_empty_panels(tmp_path):
    draw_training_curves({"rgb": LOG[:0]}, tmp_path / "a.svg")
    assert ">learning rate</text>" in (tmp_path / "a.svg").read_text()
