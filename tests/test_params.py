"""params.yaml is read strictly: what is meant is taken, anything else is named and refused."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.runtime import params
from stages.runtime.params import ParamsError


@dataclass(frozen=True, kw_only=True)
class Solver:
    rate: float
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate is above 0, got {self.rate}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str
    count: int
    mirror: bool
    limit: int | None
    solver: Solver
    weights: dict[str, float]
    members: dict[str, Solver]


TEXT = """\
recipes:
  one: &one
    name: first
    count: 3
    mirror: true
    limit: null
    solver: &solver
      rate: 5.0e-4
      steps: [10, 20]
    weights: {rgb: 1, flow: 1.5}
    members:
      a: *solver
  two:
    <<: *one
    name: second
    solver:
      <<: *solver
      rate: 1
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(TEXT)
    return tmp_path


def read(dotted: str, old: str = "", new: str = "") -> Recipe:
    assert old in TEXT
    Path("params.yaml").write_text(TEXT.replace(old, new) if old else TEXT)
    return params.section(params.load(), dotted, Recipe)


def test_section_becomes_its_dataclass() -> None:
    solver = Solver(rate=0.0005, steps=(10, 20))
    assert read("recipes.one") == Recipe(
        name="first",
        count=3,
        mirror=True,
        limit=None,
        solver=solver,
        weights={"rgb": 1.0, "flow": 1.5},
        members={"a": solver},
    )


def test_merged_section_overrides_what_it_repeats() -> None:
    two = read("recipes.two")
    assert (two.name, two.count, two.solver.steps) == ("second", 3, (10, 20))
    assert two.solver.rate == 1.0
    assert type(two.solver.rate) is float


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "0.0005", "5.0e-4", "0.5e-3"])
def test_every_way_to_write_a_number_is_a_number(text: str) -> None:
    assert read("recipes.one", "5.0e-4", text).solver.rate == 0.0005


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "count: 3",
            "counts: 3",
            r"recipes\.one\.counts: unknown key; valid: name, count, mirror, limit, solver",
        ),
        ("    count: 3\n", "", r"recipes\.one\.count: missing; expected: name, count"),
        (
            "      steps: [10, 20]\n",
            "",
            r"recipes\.one\.solver\.steps: missing; expected: rate, steps",
        ),
        ("count: 3", "count: 3.5", r"recipes\.one\.count: expected a whole number, got 3\.5"),
        ("count: 3", "count: '3'", r"recipes\.one\.count: expected a whole number, got '3'"),
        ("count: 3", "count: true", r"recipes\.one\.count: expected a whole number, got True"),
        ("count: 3", "count:", r"recipes\.one\.count: expected a whole number, got None"),
        ("mirror: true", "mirror: 1", r"recipes\.one\.mirror: expected true or false, got 1"),
        ("mirror: true", "mirror: yes", r"expected true or false, got 'yes'"),  # YAML 1.2
        ("name: first", "name: 1", r"recipes\.one\.name: expected text, got 1"),
        ("5.0e-4", "true", r"recipes\.one\.solver\.rate: expected a number, got True"),
        ("5.0e-4", "fast", r"recipes\.one\.solver\.rate: expected a number, got 'fast'"),
        ("[10, 20]", "10", r"recipes\.one\.solver\.steps: expected a list, got 10"),
        ("[10, 20]", "[10, x]", r"solver\.steps\[1\]: expected a whole number, got 'x'"),
        ("{rgb: 1, flow: 1.5}", "[1]", r"recipes\.one\.weights: expected a mapping, got \[1\]"),
        ("flow: 1.5", "flow: x", r"recipes\.one\.weights\.flow: expected a number, got 'x'"),
        ("a: *solver", "a: 1", r"recipes\.one\.members\.a: expected a mapping, got 1"),
        ("5.0e-4", "0.0", r"recipes\.one\.solver: rate is above 0, got 0\.0"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_dotted_name(
    old: str, new: str, message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        read("recipes.one", old, new)


def test_section_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(ParamsError, match=r"recipes\.ucf: missing; recipes has: one, two"):
        read("recipes.ucf")
    with pytest.raises(ParamsError, match=r"recipe\.one: missing; the top level has: recipes"):
        read("recipe.one")
    with pytest.raises(ParamsError, match=r"count\.x: missing; recipes\.one\.count has: 3"):
        read("recipes.one.count.x")


def test_plain_values_are_sections_too() -> None:
    content = {"splits": [1, 2, 3], "names": ["a"]}
    assert params.section(content, "splits", tuple[int, ...]) == (1, 2, 3)
    assert params.section(content, "names", tuple[str, ...]) == ("a",)


TABLE = {"solver": Solver, "recipe": Recipe}


def test_choice_is_one_row_of_a_table() -> None:
    content = {"init": {"solver": {"rate": 1, "steps": []}}}
    assert params.choice(content, "init", TABLE) == ("solver", Solver(rate=1.0, steps=()))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"other": {}}, r"init\.other: unknown; valid: solver, recipe"),
        ({}, r"init: expected exactly one of solver, recipe, got \{\}"),
        ({"solver": {}, "recipe": {}}, "init: expected exactly one of solver, recipe"),
        ("solver", "init: expected exactly one of solver, recipe, got 'solver'"),
        ({"solver": {"steps": []}}, r"init\.solver\.rate: missing"),
    ],
)
def test_other_choices_are_refused(found: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        params.choice({"init": found}, "init", TABLE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", r"params\.yaml: expected a mapping of sections"),
        ("", r"params\.yaml: expected a mapping of sections"),
        ("a: 1\na: 2\n", r"(?s)params\.yaml: .*duplicate key"),
        ("a: [1,\n", r"(?s)params\.yaml: .*line 2"),
    ],
)
def test_file_that_is_no_mapping_is_refused(project: Path, text: str, message: str) -> None:
    (project / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        params.load()


def test_missing_file_is_refused(project: Path) -> None:
    (project / "params.yaml").unlink()
    with pytest.raises(ParamsError, match=r"no such file; run from the project's root"):
        params.load()


def test_anchor_that_stands_for_two_sections_is_refused(tmp_path: Path) -> None:
    """A copied recipe silently took the place of the one it was copied from."""
    path = tmp_path / "params.yaml"
    path.write_text("a: &one {rate: 1}\nb: &one {rate: 2}\nc: *one\n")
    with pytest.raises(ParamsError, match=r"an anchor .* stands for one section"):
        params.load(path)
