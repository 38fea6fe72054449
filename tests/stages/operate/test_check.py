"""The project's own params.yaml and recipes: all are valid, and the paper's hold its numbers."""

import shutil
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from ruamel.yaml import YAML
from workspace import ROOT, edit

from stages.operate import check
from stages.runtime import params
from tsn.modality import MODALITIES
from tsn.splits.formats import SplitConfig
from tsn.streams.table import STREAMS
from tsn.training.settings import SolverConfig


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of params.yaml and of every recipe, to be edited."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_recipe_is_valid() -> None:
    check.main(check.Options())
    assert {"synthetic", "ucf101", "hmdb51"} <= set(params.recipe_names())


def test_no_setting_has_its_value_in_code() -> None:
    streams = [stream.config_class for stream in STREAMS.values()]
    rows = [row for table in check.CHOICES.values() for row in table.values()]
    found, waiting = set(), [*check.SECTIONS.values(), *rows, *streams]
    while waiting:
        config = waiting.pop()
        if config in found or not is_dataclass(config):
            continue
        found.add(config)
        for hint in get_type_hints(config).values():
            waiting += [hint, *get_args(hint)]
    defaults = {
        f"{config.__name__}.{field.name}": field.default
        for config in found
        for field in fields(config)
        if not (field.default is field.default_factory is MISSING)
    }
    assert SplitConfig in found and SolverConfig in found
    assert defaults == {}


def test_first_stage_of_a_dataset_leaves_a_note_that_never_changes(project: Path) -> None:
    note = project / "data/synthetic/checked.json"
    check.main(check.Options(dataset="synthetic", out=note))
    before = note.read_bytes()
    edit(project / "recipes/synthetic.yaml", "train.rgb.solver.iterations", 500)
    edit(project / "recipes/hmdb51.yaml", "train.rgb.input_size", 100)  # not this one's matter
    check.main(check.Options(dataset="synthetic", out=note))
    assert note.read_bytes() == before


@pytest.mark.parametrize(
    ("dataset", "dotted", "value", "message"),
    [
        (
            *("weizmann", "accept.min_frames", 5),
            r"recipes/weizmann\.yaml: accept\.min_frames: 5, but a snippet of rgb_diff takes 6",
        ),
        (
            *("hmdb51", "train.rgb.input_size", 100),
            r"hmdb51\.yaml: train\.rgb: input_size: .* multiples of 32 .*, got 100",
        ),
        (
            *("hmdb51", "train.rgb.input_size", 512),
            r"train\.rgb\.input_size: 512 does not fit into the extracted 340x256",
        ),
        (
            *("hmdb51", "baseline.input_size", 100),
            r"hmdb51\.yaml: baseline: input_size: .* multiples of 32 .*, got 100",
        ),
        (
            *("hmdb51", "init.weights_file.backbone", "bn_inception_half"),
            r"hmdb51\.yaml: init\.weights_file: public weights are there for bn_inception, ",
        ),
        (
            *("hmdb51", "train.rgb.solver.lr_steps", [1000, 2500]),
            r"hmdb51\.yaml: train\.rgb\.solver: lr_steps lie within the 2500 iterations",
        ),
        ("hmdb51", "scores", {}, r"hmdb51\.yaml: the top level\.scores: unknown key; valid: so"),
        ("ucf101", "train.depth", {}, r"ucf101\.yaml: train\.depth: unknown key"),
        (
            *("synthetic", "train.flow.network.backbone", "vgg"),
            r"synthetic\.yaml: train\.flow\.network: unknown backbone 'vgg'",
        ),
        (
            *("synthetic", "train.rgb.network.backbone", "bn_inception"),
            r"train\.rgb\.network\.backbone: bn_inception, but init makes weights of bn_inc",
        ),
        (
            *("synthetic", "train.flow.initialisation", "copied"),
            r"train\.flow: initialisation: copied needs weights of flow, and init makes those",
        ),
        (
            *("hmdb51", "train.rgb.initialisation", "scratch"),
            r"hmdb51\.yaml: train\.rgb: partial_bn freezes statistics that a network from scratch",
        ),
        (
            *("ucf101", "extract.flow.bound", True),
            r"ucf101\.yaml: extract\.flow\.bound: expected a number, got True",
        ),
        (
            *("synthetic", "fusion.combinations.alone", {"rgb": 1.0}),
            r"synthetic\.yaml: fusion: combination 'alone' fuses at least two",
        ),
        (
            *("synthetic", "source", {"youtube": {}}),
            r"synthetic\.yaml: source\.youtube: unknown; valid: synthetic, folder",
        ),
        (
            *("synthetic", "package.split", 4),
            r"synthetic\.yaml: package\.split: 4 is not among splits \(1, 2, 3\)",
        ),
    ],
)
def test_mistake_in_a_recipe_is_found(
    project: Path, dataset: str, dotted: str, value: object, message: str
) -> None:
    edit(project / f"recipes/{dataset}.yaml", dotted, value)
    with pytest.raises(ValueError, match=message):
        check.main(check.Options())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("recipe", {}, "recipe: unknown key; valid: datasets, splits"),
        (
            "datasets",
            ["kinetics"],
            r"recipes/kinetics\.yaml: no such recipe; there are: activitynet",
        ),
        ("modalities", ["depth"], "unknown modality 'depth'; one of: rgb"),
        ("modalities", ["rgb", "rgb"], "modalities: expected different values"),
        ("splits", [], "splits: expected different values"),
        ("splits", [1, 4], r"params\.yaml: splits: 4, but recipes/synthetic\.yaml makes 1 to 3"),
        ("machine.processes", 0, "machine: processes is at least 1, got 0"),
        ("machine.device", "tpu", "machine: device is auto, cpu or cuda, got 'tpu'"),
    ],
)
def test_mistake_in_params_is_found(project: Path, key: str, value: object, message: str) -> None:
    edit(project / "params.yaml", key, value)
    with pytest.raises(ValueError, match=message):
        check.main(check.Options())


def test_modality_without_a_section_is_found(project: Path) -> None:
    path = project / "recipes/synthetic.yaml"
    yaml = YAML()
    recipe = yaml.load(path)
    del recipe["train"]["flow"], recipe["extract"]["flow"]
    yaml.dump(recipe, path)
    with pytest.raises(ValueError, match=r"synthetic\.yaml: extract\.flow: missing; extract has"):
        check.main(check.Options())
    edit(project / "params.yaml", "modalities", ["rgb"])  # which is a whole recipe, too
    check.main(check.Options())


def test_anchors_are_refused_with_their_line(project: Path) -> None:
    path = project / "recipes/synthetic.yaml"
    path.write_text(path.read_text().replace("  rgb:\n    width", "  rgb: &frames\n    width", 1))
    with pytest.raises(ValueError, match=r"synthetic\.yaml line \d+: 'frames' is a YAML anchor"):
        check.main(check.Options())


# docs/paper.md, "Solvers".
RELEASED = {
    ("ucf101", "rgb"): (128, 0.001, (1500, 3000), 3500, 40.0, 0.8, (1.0, 0.875, 0.75, 0.66)),
    ("ucf101", "flow"): (128, 0.005, (10000, 16000), 18000, 20.0, 0.7, (1.0, 0.875, 0.75)),
    ("ucf101", "rgb_diff"): (128, 0.001, (6000, 12000), 13500, 40.0, 0.8, (1.0, 0.875, 0.75)),
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
def test_solvers_are_the_released_ones(dataset: str, modality: str) -> None:
    config = check.read_section(params.load_recipe(dataset), f"train.{modality}")
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
def test_rgb_difference_recipe(dataset: str) -> None:
    """Published for UCF101 alone: HMDB51's solver is that of its RGB."""
    recipe = params.load_recipe(dataset)
    config = check.read_section(recipe, "train.rgb_diff")
    assert (config.solver.base_lr, config.solver.clip_norm) == (0.001, 40.0)
    assert config.network.dropout == 0.8
    assert config.augmentation.crop_scales == (1.0, 0.875, 0.75)
    assert config.network.num_segments == 7
    same = config.solver.iterations == check.read_section(recipe, "train.rgb").solver.iterations
    assert same == (dataset == "hmdb51")


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
@pytest.mark.parametrize("modality", MODALITIES)
def test_network_and_multipliers_are_the_papers(dataset: str, modality: str) -> None:
    config = check.read_section(params.load_recipe(dataset), f"train.{modality}")
    assert config.input_size == 224
    assert (config.network.backbone, config.network.consensus) == ("bn_inception", "average")
    assert config.network.num_segments == (7 if modality == "rgb_diff" else 3)
    assert config.network.partial_bn
    assert config.augmentation.crop_positions == 13
    assert config.augmentation.mirror
    multipliers = config.lr_multipliers
    first = (multipliers.first_conv_weight, multipliers.first_conv_bias)
    assert multipliers.bias == 2.0
    assert first == ((5.0, 10.0) if modality in ("flow", "warped_flow") else (1.0, 2.0))


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_streams_testing_and_fusion_are_the_papers(dataset: str) -> None:
    recipe = params.load_recipe(dataset)
    for row in MODALITIES.values():
        stream = check.read_section(recipe, f"extract.{row.name}")
        assert (stream.width, stream.height) == (340, 256)
        assert getattr(stream, "bound", 20.0) == 20.0
    warped = params.find(recipe, "extract.warped_flow.homography")
    assert (warped["reprojection_threshold"], warped["min_matches"]) == (1.0, 50)
    assert warped["min_inliers"] == 25
    score = check.read_section(recipe, "score")
    assert (score.snippets, score.crops) == (25, "ten_crop")
    combinations = check.read_section(recipe, "fusion").combinations
    assert combinations["two_stream"] == {"rgb": 1.0, "flow": 1.0}
    assert combinations["two_stream_flow_1_5"] == {"rgb": 1.0, "flow": 1.5}
    assert combinations["three_stream"] == {"rgb": 1.0, "flow": 1.0, "warped_flow": 0.5}
