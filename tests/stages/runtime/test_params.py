"""params.yaml and recipes are read strictly, and errors name the file and the dotted key."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.runtime import params
from stages.runtime.params import Settings
from tsn.records import RecordError


@dataclass(frozen=True, kw_only=True)
class Solver:
    rate: float
    steps: tuple[int, ...]


RECIPE = """\
train:
  rgb: {rate: 5.0e-4, steps: [10, 20]}
  count: 3
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("splits: [1, 2, 3]\nnames: [a]\n")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/mine.yaml").write_text(RECIPE)
    return tmp_path


def test_section_of_a_recipe_becomes_its_dataclass() -> None:
    solver = params.section(params.load_recipe("mine"), "train.rgb", Solver)
    assert solver == Solver(rate=0.0005, steps=(10, 20))


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "0.0005", "5.0e-4", "0.5e-3"])
def test_every_way_to_write_a_number_is_a_number(project: Path, text: str) -> None:
    (project / "recipes/mine.yaml").write_text(RECIPE.replace("5.0e-4", text))
    assert params.section(params.load_recipe("mine"), "train.rgb", Solver).rate == 0.0005


def test_error_names_the_file_and_the_key(project: Path) -> None:
    (project / "recipes/mine.yaml").write_text(RECIPE.replace("5.0e-4", "fast"))
    message = r"^recipes/mine\.yaml: train\.rgb\.rate: expected a number, got 'fast'$"
    with pytest.raises(RecordError, match=message):
        params.section(params.load_recipe("mine"), "train.rgb", Solver)


def test_section_that_is_not_there_is_refused_with_what_is() -> None:
    recipe = params.load_recipe("mine")
    message = r"recipes/mine\.yaml: train\.flow: missing; train has: rgb, count"
    with pytest.raises(RecordError, match=message):
        params.find(recipe, "train.flow")
    with pytest.raises(RecordError, match=r"trains\.rgb: missing; the top level has: train"):
        params.find(recipe, "trains.rgb")
    with pytest.raises(RecordError, match=r"train\.count\.x: missing; train\.count has: 3"):
        params.find(recipe, "train.count.x")


def test_recipe_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(RecordError, match=r"recipes/kinetics\.yaml: no such recipe.*: mine$"):
        params.load_recipe("kinetics")


def test_plain_values_are_sections_too() -> None:
    selection = params.load()
    assert params.section(selection, "splits", tuple[int, ...]) == (1, 2, 3)
    assert params.section(selection, "names", tuple[str, ...]) == ("a",)


TABLE = {"solver": Solver, "other": Solver}


def made(init: object) -> Settings:
    return Settings(Path("r.yaml"), {"init": init})


def test_choice_is_one_row_of_a_table() -> None:
    found = params.choice(made({"solver": {"rate": 1, "steps": []}}), "init", TABLE)
    assert found == ("solver", Solver(rate=1.0, steps=()))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"third": {}}, r"r\.yaml: init\.third: unknown; valid: solver, other"),
        ({}, r"init: expected exactly one of solver, other, got \{\}"),
        ({"solver": {}, "other": {}}, "init: expected exactly one of solver, other"),
        ("solver", "init: expected exactly one of solver, other, got 'solver'"),
        ({"solver": {"steps": []}}, r"init\.solver\.rate: missing"),
    ],
)
def test_other_choices_are_refused(found: object, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        params.choice(made(found), "init", TABLE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", r"params\.yaml: expected a mapping of sections"),
        ("", r"params\.yaml: expected a mapping of sections"),
        ("a: 1\na: 2\n", r"(?s)params\.yaml: .*duplicate key"),
        ("a: [1,\n", r"(?s)params\.yaml: .*line 2"),
        ("a: yes\n", "a: expected true or false, got 'yes'"),  # YAML 1.2
    ],
)
def test_file_that_cannot_be_meant_is_refused(project: Path, text: str, message: str) -> None:
    (project / "params.yaml").write_text(text)
    with pytest.raises(RecordError, match=message):
        params.section(params.load(), "a", bool)


def test_missing_file_is_refused(project: Path) -> None:
    (project / "params.yaml").unlink()
    with pytest.raises(RecordError, match=r"no such file; run from the project's root"):
        params.load()
