"""How results were made: from their notes, the recipe and the commit before."""

import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from result_rows import FOUND
from toy_cells import RGB as CELL

from stages.reporting import making
from stages.reporting.making import (
    UNKNOWN,
    describe_making,
    networks_table,
    recipe_changes,
    weights_table,
)
from stages.runtime import params
from stages.runtime.places import MADE
from stages.tracking.made import Made
from stages.tracking.pipeline_runs import digest, recipe_values
from tsn.files import write_json

RECIPE = """
source: {folder: {videos: v}}
split: {splits: 2}
accept: {}
extract: {}
init: null
train:
  rgb:
    input_size: 64
    initialisation: copied
    network: {backbone: bn_inception, consensus: average, num_segments: 3}
    solver: {iterations: 160, batch_size: 16, base_lr: 0.05}
score: {snippets: 25, crops: ten_crop}
baseline: {}
fusion: {learned: false}
ingest: {inbox: a}
"""
ALONE = replace(
    FOUND,
    dataset="d",
    splits={1: {"rgb": FOUND.mean["rgb"]}},
    weights={"rgb": {"rgb": 1.0}},
    headline="rgb",
)
NETWORK = ["rgb", "bn_inception", "copied", "3, average", "64", "160 x 16", "0.05"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/d.yaml").write_text(RECIPE)
    (tmp_path / "params.yaml").write_text("splits: [1]\nmodalities: [rgb]\n")
    monkeypatch.setattr(making, "code_tags", lambda: {"git.commit": "c" * 40, "git.dirty": "true"})
    return tmp_path


def note(fingerprint: str, began: int, ended: int, commit: str = "c") -> None:
    """Leave a note of a process; times are minutes from 1970."""
    made = Made(
        tags={"git.commit": commit * 40, "git.dirty": "true"},
        began=began * 60_000,
        ended=ended * 60_000,
        computer={"device": "a GPU", "system": "Linux", "versions": "Python 3"},
    )
    write_json(MADE / f"{fingerprint}.json", asdict(made))


def git(*words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


def test_the_facts_are_those_of_the_notes() -> None:
    note("m", 0, 3)
    note("f", 24 * 60, 24 * 60 + 1, commit="e")
    found = describe_making(ALONE, params.load_recipe("d"), {1: {"rgb": CELL}}, "")
    assert found.facts["Code"] == (
        "commit cccccccccc with uncommitted changes; commit eeeeeeeeee with uncommitted changes"
    )
    assert found.facts["Made"] == "1970-01-01 00:00 to 1970-01-02 00:01 UTC"
    assert found.facts["Took"] == "3 min to train and 60 s to score, added up"
    assert (found.facts["Device"], found.facts["Versions"]) == ("a GPU", "Python 3")
    assert found.facts["Tested"] == "25 snippets of a video, ten_crop; 100 videos"
    assert found.networks.rows == [[*NETWORK, "3 min", "60 s"]]
    again = describe_making(ALONE, params.load_recipe("d"), {1: {"rgb": CELL}}, "")
    assert again == found  # nothing of the moment in which it is drawn


def test_what_no_note_says_is_not_known() -> None:
    found = describe_making(ALONE, params.load_recipe("d"), {1: {"rgb": CELL}}, "http://h")
    assert found.facts["Made"] == found.facts["Device"] == UNKNOWN
    assert found.facts["Code"].startswith(f"{UNKNOWN}; this page: commit cccccccccc with")
    assert found.networks.rows == [[*NETWORK, "–", "–"]]
    assert (found.facts["MLflow"], found.link) == ("experiment d", "http://h")


def test_a_recipe_is_compared_with_the_last_commit(project: Path) -> None:
    recipe = params.load_recipe("d")
    assert recipe_changes(recipe) == ("", [])
    git("init", "-q")
    git("add", "recipes")
    git("commit", "-qm", "a")
    assert recipe_changes(recipe) == ("the last commit", [])
    text = RECIPE.replace("iterations: 160", "iterations: 40").replace("inbox: a", "inbox: b")
    (project / "recipes/d.yaml").write_text(text)
    changes = [("train.rgb.solver.iterations", "160", "40")]  # and not the inbox
    assert recipe_changes(params.load_recipe("d")) == ("the last commit", changes)
    found = describe_making(ALONE, params.load_recipe("d"), {1: {"rgb": CELL}}, "")
    assert found.changes is not None and found.changes.rows == changes
    assert found.facts["Recipe"].endswith(": 1 value differs from the last commit")
    named = digest(recipe_values("d"))  # the first word of the pipeline run in MLflow
    assert len(named) == 6 and f"digest {named}:" in found.facts["Recipe"]


def test_without_git_or_with_a_broken_commit_there_is_nothing_to_compare_with(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = params.load_recipe("d")
    (project / "recipes/d.yaml").write_text("a: [")
    git("init", "-q")
    git("add", "recipes")
    git("commit", "-qm", "a")
    (project / "recipes/d.yaml").write_text(RECIPE)
    assert recipe_changes(recipe) == ("", [])
    monkeypatch.setenv("PATH", str(project))
    assert recipe_changes(recipe) == ("", [])


def test_a_recipe_of_tsn_new_is_compared_with_the_one_it_copied(project: Path) -> None:
    text = RECIPE.replace("splits: 2", "splits: 3").replace("init: null\n", "")
    like = "# mine: written by `tsn new` like recipes/d.yaml. Every number of this dataset.\n"
    (project / "recipes/mine.yaml").write_text(like + text)
    assert recipe_changes(params.load_recipe("mine")) == (
        "recipes/d.yaml",
        [("split.splits", "2", "3"), ("init", "null", "–")],
    )


def test_the_weights_of_every_fusion_stand_side_by_side() -> None:
    learned = {1: {"rgb": 0.123456, "flow": 1.0}, 2: {"rgb": 0.0, "flow": 1.0}}
    table = weights_table(replace(FOUND, learned=learned))
    assert table is not None
    assert table.header == ["", "rgb", "flow"] and table.headline == 0
    assert table.rows == [
        ["two_stream", "1", "1.5"],
        ["learned, split 1", "0.123", "1"],
        ["learned, split 2", "–", "1"],
    ]
    assert weights_table(ALONE) is None


def test_times_of_splits_are_added_and_left_out_where_one_is_missing() -> None:
    note("m", 0, 1)
    note("m2", 5, 7)
    second = replace(CELL, split=2, model="m2", fingerprint="f2")
    train = params.load_recipe("d").values["train"]
    (cells,) = networks_table(["rgb"], train, {1: {"rgb": CELL}, 2: {"rgb": second}}).rows
    assert cells[-2:] == ["3 min", "–"]
