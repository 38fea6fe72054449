"""The project's own params.yaml: every recipe is valid, and the paper's hold its numbers."""

import argparse
import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.operate import check
from stages.runtime import params
from tsn.modality import MODALITIES
from tsn.scoring.fusion import FusionConfig
from tsn.scoring.score import ScoringConfig
from tsn.streams.table import STREAMS
from tsn.training.initial_weights import INITS
from tsn.training.train import TrainingConfig

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def content() -> params.Content:
    return params.load(ROOT / "params.yaml")


def run_check(folder: Path, content: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    check.main(argparse.Namespace())


def test_whole_file_is_valid(
    content: params.Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_check(tmp_path, content, monkeypatch)
    assert {"synthetic", "ucf101", "hmdb51"} <= set(content["recipes"])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("recipes", "weizmann", "extract", "flow", "min_frames"),
            5,
            r"weizmann\.extract\.flow\.min_frames: 5, but a snippet of flow takes 6",
        ),
        (
            ("recipes", "hmdb51", "train", "rgb", "input_size"),
            100,
            r"hmdb51\.train\.rgb: input_size: BN-Inception takes multiples of 32 .*, got 100",
        ),
        (
            ("recipes", "hmdb51", "init", "weights_file", "backbone"),
            "bn_inception_half",
            r"hmdb51\.init\.weights_file: public weights are there for bn_inception, not 'bn_in",
        ),
        (
            ("recipes", "hmdb51", "train", "rgb", "solver", "lr_steps"),
            [1000, 2500],
            r"hmdb51\.train\.rgb\.solver: lr_steps lie within the 2500 iterations",
        ),
        (("recipe",), {}, "recipe: unknown key; valid: datasets, splits"),
        (
            ("datasets",),
            ["kinetics"],
            r"recipes\.kinetics: missing; .* has: hmdb51",
        ),
        (("modalities",), ["depth"], "unknown modality 'depth'; one of: rgb"),
        (("machine", "processes"), 0, "machine: processes is at least 1, got 0"),
        (("machine", "device"), "tpu", "machine: device is auto, cpu or cuda, got 'tpu'"),
        (("recipes", "hmdb51", "scores"), {}, r"recipes\.hmdb51\.scores: unknown key; valid: so"),
        (("recipes", "ucf101", "train", "depth"), {}, r"ucf101\.train\.depth: unknown key"),
        (
            ("recipes", "synthetic", "train", "flow", "network", "backbone"),
            "vgg",
            r"recipes\.synthetic\.train\.flow\.network: unknown backbone 'vgg'",
        ),
        (
            ("recipes", "ucf101", "extract", "flow", "bound"),
            True,
            r"recipes\.ucf101\.extract\.flow\.bound: expected a number, got True",
        ),
        (
            ("recipes", "synthetic", "fusion", "combinations", "rgb"),
            {"rgb": 1.0},
            r"recipes\.synthetic\.fusion: combination 'rgb' fuses at least two",
        ),
        (
            ("recipes", "synthetic", "source"),
            {"youtube": {}},
            r"recipes\.synthetic\.source\.youtube: unknown; valid: synthetic, folder",
        ),
    ],
)
def test_mistake_anywhere_is_found(
    content: params.Content,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: tuple[str, ...],
    value: object,
    message: str,
) -> None:
    changed: Any = copy.deepcopy(dict(content))
    node = changed
    for key in path[:-1]:
        node[key] = dict(node[key])
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        run_check(tmp_path, changed, monkeypatch)


# PAPER.md section 2, "What the released solvers do".
RELEASED = {
    ("ucf101", "rgb"): (128, 0.001, (1500, 3000), 3500, 40.0, 0.8, (1.0, 0.875, 0.75, 0.66)),
    ("ucf101", "flow"): (128, 0.005, (10000, 16000), 18000, 20.0, 0.7, (1.0, 0.875, 0.75)),
    ("hmdb51", "rgb"): (128, 0.001, (1000, 2000), 2500, 40.0, 0.8, (1.0, 0.875, 0.75, 0.66)),
    ("hmdb51", "flow"): (128, 0.005, (4000, 6000), 7000, 20.0, 0.7, (1.0, 0.875, 0.75)),
}
# The paper's text, section 4.1.
RELEASED |= {
    ("ucf101_paper", "rgb"): (256, 0.001, (2000, 4000), 4500, 40.0, 0.8, (1.0, 0.875, 0.75, 0.66)),
    ("ucf101_paper", "flow"): (
        *(256, 0.005, (12000, 18000), 20000, 20.0, 0.7),
        (1.0, 0.875, 0.75, 0.66),
    ),
}
RELEASED |= {(name, "warped_flow"): RELEASED[name, "flow"] for name, _ in list(RELEASED)}


@pytest.mark.parametrize(("dataset", "modality"), RELEASED)
def test_solvers_are_the_released_ones(
    content: params.Content, dataset: str, modality: str
) -> None:
    config = params.section(content, f"recipes.{dataset}.train.{modality}", TrainingConfig)
    solver = config.solver
    assert RELEASED[dataset, modality] == (
        solver.batch_size,
        solver.base_lr,
        solver.lr_steps,
        solver.iterations,
        solver.clip_norm,
        config.network.dropout,
        config.augmentation.crop_scales,
    )
    assert (solver.momentum, solver.weight_decay, solver.lr_factor) == (0.9, 0.0005, 0.1)


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_rgb_difference_recipe(content: params.Content, dataset: str) -> None:
    config = params.section(content, f"recipes.{dataset}.train.rgb_diff", TrainingConfig)
    assert (config.solver.base_lr, config.solver.clip_norm) == (0.001, 40.0)
    assert config.network.dropout == 0.8


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_network_and_multipliers_are_the_papers(
    content: params.Content, dataset: str, modality: str
) -> None:
    config = params.section(content, f"recipes.{dataset}.train.{modality}", TrainingConfig)
    assert config.input_size == 224
    assert (config.network.backbone, config.network.consensus) == ("bn_inception", "average")
    assert config.network.num_segments == 3
    assert config.network.partial_bn
    assert config.augmentation.crop_positions == 13
    assert config.augmentation.mirror
    multipliers = config.lr_multipliers
    assert (multipliers.bias, multipliers.first_conv_weight) == (2.0, 5.0)
    assert multipliers.first_conv_bias == 10.0


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_streams_testing_and_fusion_are_the_papers(content: params.Content, dataset: str) -> None:
    recipe = f"recipes.{dataset}"
    for row in MODALITIES.values():
        stream = params.section(
            content, f"{recipe}.extract.{row.name}", STREAMS[row.stream].config_class
        )
        assert (stream.width, stream.height) == (340, 256)
        assert getattr(stream, "bound", 20.0) == 20.0
    warped = content["recipes"][dataset]["extract"]["warped_flow"]["homography"]
    assert (warped["reprojection_threshold"], warped["min_matches"]) == (1.0, 50)
    assert warped["min_inliers"] == 25
    score = params.section(content, f"{recipe}.score", ScoringConfig)
    assert (score.snippets, score.crops) == (25, "ten_crop")
    combinations = params.section(content, f"{recipe}.fusion", FusionConfig).combinations
    assert combinations["rgb+flow"] == {"rgb": 1.0, "flow": 1.5}
    assert combinations["rgb+flow+warped_flow"] == {"rgb": 1.0, "flow": 1.0, "warped_flow": 0.5}


@pytest.mark.parametrize("recipe", ["synthetic", "ucf101", "hmdb51"])
def test_sections_of_a_recipe_fit_together(content: params.Content, recipe: str) -> None:
    """One backbone from init to training; frames that the longest snippet and a crop fit into."""
    _, init = params.choice(content, f"recipes.{recipe}.init", INITS)
    for row in MODALITIES.values():
        train = params.section(content, f"recipes.{recipe}.train.{row.name}", TrainingConfig)
        stream = params.section(
            content, f"recipes.{recipe}.extract.{row.name}", STREAMS[row.stream].config_class
        )
        assert train.network.backbone == init.backbone
        assert train.input_size <= min(stream.width, stream.height)
        flow = row.entry_channels == 2  # N frames give N - 1 pairs
        assert stream.min_frames - flow >= row.snippet_length
