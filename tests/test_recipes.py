"""Recipes: every number can be changed for an experiment, by DVC's own code, and is read then."""

import copy
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML
from workspace import ROOT

from stages.operate import check
from stages.runtime import params
from stages.runtime.options import StageOptions
from tsn.modality import MODALITIES

# The programs that read a recipe: the stages of dvc.yaml, and two that people and flows run.
STAGES = [
    *("download", "split", "extract", "look", "pretrain", "train", "score", "baseline"),
    *("fuse", "report", "package", "operate.ingest", "operate.compare"),
]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
# What another value of these leaves is: they take no number, or few.
OTHER = {
    "format": ("hmdb51", "folder"),
    "group_pattern": ("_x([0-9]+)_", "_y([0-9]+)_"),
    "leaks": ("drop", "keep"),
    "engine": ("dis", "tvl1"),
    "consensus": ("max", "average"),
    "crops": ("centre", "ten_crop"),
    "initialisation": ("copied", "cross_modality"),
    "headline": ("two_stream_flow_1_5", "three_stream"),
    "crop_positions": (5, 13),
    "counts": (None, None),
    "lists": ("inbox/lists", None),
    "clips_per_class": (4, None),
    "classes": (["some"], None),
    "size": (7, 8),
    "sha256": ("0123abcd", "0123abce"),
    "promotion_share": (0.2, None),
}
# Numbers that others have to follow are changed together with those.
TOGETHER = re.compile(r"split\.(counts\.\w+|splits)$|backbone$")
FOLDER, PACKAGE, CSV = ("weizmann", "source."), ("weizmann", "init."), ("thumos14", "source.")
DEALT = ("weizmann", "split.promotion_share")  # official lists are kept whole
DOUBLED = ("input_size", "batch_size", "iterations", "groups", "frames", "width", "height")


def leaves(node: Any, dotted: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and value of all that is neither a mapping nor a list of mappings."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        name = f"{dotted}.{key}" if dotted else key
        if isinstance(value, dict) or (
            isinstance(value, list) and value and isinstance(value[0], dict)
        ):
            yield from leaves(value, name)
        else:
            yield name, value


def recipe_leaves(dataset: str) -> list[tuple[str, Any]]:
    path = ROOT / f"recipes/{dataset}.yaml"
    return list(leaves(YAML(typ="safe", pure=True).load(path)))


def other_value(name: str, value: Any) -> Any:
    """Return another valid value for a leaf."""
    key = name.rpartition(".")[2]
    if key in OTHER:
        first, second = OTHER[key]
        return second if value == first else first
    if key == "lr_steps":
        return [value[0] - 1, *value[1:]]
    if key in ("crop_scales", "test"):
        return [*value[:-1], value[-1] / 2 if key == "crop_scales" else value[-1] + 1]
    if isinstance(value, list):
        return [f"{value[0]}x", *value[1:]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value / 2 if value else 0.1
    if key == "micro_batch":
        return value // 2
    if isinstance(value, int):
        return value * 2 if key in DOUBLED else value + 1
    return f"{value}x"


def parsed_sections(recipe: params.Settings) -> dict[str, Any]:
    """Return what every program of a recipe reads, by section, as the dataclasses it takes."""
    found = {}
    for stage in STAGES:
        options: type[StageOptions] = importlib.import_module(f"stages.{stage}").Options
        for section in options.recipe_sections:
            for modality in MODALITIES:
                name = section.replace("{modality}", modality)
                found[stage, name] = check.read_section(recipe, name)
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Together they have every section that the recipes have.
@pytest.mark.parametrize(
    ("dataset", "below"), [("synthetic", ""), ("ucf101", ""), FOLDER, PACKAGE, CSV, DEALT]
)
def test_every_leaf_reaches_a_stage_when_it_is_overridden(
    dataset: str, below: str, project: Path
) -> None:
    """DVC writes all of them at once, which takes half a second; then each is looked at alone."""
    recipe = params.load_recipe(dataset)
    original = dict(recipe_leaves(dataset))
    others = {
        name: other_value(name, value)
        for name, value in original.items()
        if name.startswith(below) and is_changed_alone(dataset, name, value)
    }
    overrides = [f"{name}={override(other)}" for name, other in others.items()]
    apply_overrides(project / f"recipes/{dataset}.yaml", overrides)
    written = dict(leaves(params.load_recipe(dataset).values))
    assert written == original | others
    before = parsed_sections(recipe)
    for name in others:
        after = parsed_sections(with_leaf(recipe, name, written[name]))
        changed = {section for section in before if before[section] != after[section]}
        assert changed, f"{name}={written[name]!r} reached no stage"
        assert all(name.startswith(section) for _, section in changed), (name, changed)


def is_changed_alone(dataset: str, name: str, value: Any) -> bool:
    if name == "split.promotion_share":
        return (dataset, name) == DEALT
    return not TOGETHER.search(name) and not (name == "split.counts" and value is None)


def with_leaf(recipe: params.Settings, name: str, value: Any) -> params.Settings:
    """Return a copy of the recipe with another value of one leaf."""
    values = copy.deepcopy(dict(recipe.values))
    node: Any = values
    *above, key = name.split(".")
    for step in above:
        node = node[int(step)] if isinstance(node, list) else node[step]
    node[key] = value
    return params.Settings(recipe.path, values)


def override(value: Any) -> str:
    """Return a value as the word behind `-S name=`."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


@pytest.mark.parametrize("dataset", RECIPES)
def test_rgb_learns_all_layers_at_one_rate(dataset: str) -> None:
    """Its first convolution starts from weights of RGB, and needs no higher rate."""
    multipliers = params.find(params.load_recipe(dataset), "train.rgb.lr_multipliers")
    assert multipliers == {"bias": 2.0, "first_conv_weight": 1.0, "first_conv_bias": 2.0}


@pytest.mark.parametrize("dataset", RECIPES)
def test_recipe_is_flat_and_short(dataset: str) -> None:
    path = ROOT / f"recipes/{dataset}.yaml"
    check.refuse_anchors(path)
    assert len(path.read_text().splitlines()) < 200


def test_comments_survive_an_experiment(project: Path) -> None:
    path = project / "recipes/synthetic.yaml"
    comments = re.findall(r"#.*", path.read_text())
    apply_overrides(path, ["train.rgb.solver.iterations=40"])
    assert re.findall(r"#.*", path.read_text()) == comments
    assert params.find(params.load_recipe("synthetic"), "train.rgb.solver.iterations") == 40


def test_what_belongs_together_is_changed_together(project: Path) -> None:
    path = project / "recipes/ucf101.yaml"
    overrides = ["split.splits=2", "split.counts.train=[1,2]", "split.counts.test=[3,4]"]
    apply_overrides(path, [*overrides, "split.counts.videos=9"])
    split = check.read_section(params.load_recipe("ucf101"), "split")
    assert (split.splits, split.counts.train, split.counts.test) == (2, (1, 2), (3, 4))
    backbones = [f"train.{name}.network.backbone=bn_inception_half" for name in MODALITIES]
    apply_overrides(
        project / "recipes/synthetic.yaml",
        ["init.pretext.backbone=bn_inception_half", *backbones],
    )
    check.main(check.Options(dataset="synthetic"))
