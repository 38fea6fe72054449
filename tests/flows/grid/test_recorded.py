"""What dvc.lock says of a recogniser: of which videos and recipe it was made."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.grid.recorded import accuracy_of, inputs_digest, is_made

GRAPH = {
    "check@toy": (),
    "additions/toy.dvc": (),
    "download@toy": ("check@toy", "additions/toy.dvc"),
    "split@toy": ("download@toy",),
    "train@toy-1-rgb": ("split@toy",),
    "package@toy": ("train@toy-1-rgb", "split@toy"),
    "report@toy": ("train@toy-1-rgb",),
}
RECIPE = {"train": {"rgb": {"seed": 1}}, "promotion": {"minimum_gain": 0.0}}
LISTS = "data/toy/splits"


def lock(lists: str = "aa", seed: int = 1) -> dict[str, object]:
    """Entries of dvc.lock, with the digest of the lists and the seed of the training."""
    made = {"md5": lists, "path": LISTS}
    old = {"recipes/toy.yaml": {"promotion": "another"}}
    trained = {"recipes/toy.yaml": {"train.rgb": {"seed": seed}}}
    return {
        "check@toy": {"cmd": "c", "params": old},
        "download@toy": {"cmd": "d"},
        "split@toy": {"cmd": "s", "outs": [made]},
        "train@toy-1-rgb": {"cmd": "t", "params": trained},
        "package@toy": {"cmd": "p", "deps": [made, {"md5": "now other", "path": "tsn/lists.py"}]},
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return workspace(tmp_path / "tree", lock())


def workspace(folder: Path, stages: dict[str, object]) -> Path:
    (folder / "recipes").mkdir(parents=True)
    YAML().dump(RECIPE, folder / "recipes/toy.yaml")
    YAML().dump({"splits": [1], "modalities": ["rgb"]}, folder / "params.yaml")
    YAML().dump({"schema": "2.0", "stages": stages}, folder / "dvc.lock")
    return folder


def test_a_recogniser_of_the_same_lists_and_recipe_is_made_whatever_the_code(tree: Path) -> None:
    assert is_made(tree, tree, "toy", GRAPH)


@pytest.mark.parametrize("change", ["lists", "recipe", "cells", "nothing was run"])
def test_other_lists_another_recipe_or_more_cells_are_new(
    tmp_path: Path, tree: Path, change: str
) -> None:
    stages = {"lists": lock("bb"), "recipe": lock(seed=2), "nothing was run": {}}.get(
        change, lock()
    )
    more = {"train@toy-1-flow": ()} if change == "cells" else {}
    graph = {**GRAPH, **more, "package@toy": (*GRAPH["package@toy"], *more)}
    assert not is_made(workspace(tmp_path / "other", stages), tree, "toy", graph)


def test_the_digest_is_of_the_lists_and_what_trains(tmp_path: Path, tree: Path) -> None:
    digest = inputs_digest(tree, "toy")
    assert inputs_digest(workspace(tmp_path / "same", lock(seed=2)), "toy") == digest
    assert inputs_digest(workspace(tmp_path / "other", lock("bb")), "toy") != digest
    recipe = tree / "recipes/toy.yaml"
    recipe.write_text(recipe.read_text().replace("minimum_gain: 0.0", "minimum_gain: 0.5"))
    assert inputs_digest(tree, "toy") == digest  # it decides, and trains nothing
    recipe.write_text(recipe.read_text().replace("seed: 1", "seed: 2"))
    assert inputs_digest(tree, "toy") != digest


@pytest.mark.parametrize(
    ("modalities", "found"), [(["rgb", "flow"], "75.0%"), (["rgb"], "50.0%")], ids=["both", "one"]
)
def test_the_accuracy_of_a_fusion_is_that_of_the_headline_that_could_be_run(
    tmp_path: Path, modalities: list[str], found: str
) -> None:
    fusion = {"headline": "both", "combinations": {"both": {"rgb": 1, "flow": 2}}, "learned": False}
    selection = {"params.yaml": {"modalities": modalities}}
    outs = [{"md5": "a", "path": p} for p in ("plots/a.csv", "metrics/toy/split1.json")]
    recorded = {**selection, "recipes/toy.yaml": {"fusion": fusion}}
    entry = {"cmd": "f", "params": recorded, "outs": outs}
    folder = workspace(tmp_path / "w", {"fuse@toy-1": entry, "report@toy": {"cmd": "r"}})
    (folder / "metrics/toy").mkdir(parents=True)
    rows = {"rgb": {"mean_class_accuracy": 0.5}}
    rows |= {"both": {"mean_class_accuracy": 0.75}} if len(modalities) > 1 else {}
    (folder / "metrics/toy/split1.json").write_text(json.dumps(rows))
    assert accuracy_of(folder, "fuse@toy-1") == found
    assert accuracy_of(folder, "report@toy") == accuracy_of(folder, "train@toy-1-rgb") == ""
