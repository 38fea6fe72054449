"""Mappings become dataclasses strictly: what is meant is taken, anything else is named, refused."""

from dataclasses import dataclass
from typing import Any

import pytest

from tsn.records import RecordError, record, refuse_other_keys, require_keys


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


def content(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": "first",
        "count": 3,
        "mirror": True,
        "limit": None,
        "solver": {"rate": 5e-4, "steps": [10, 20]},
        "weights": {"rgb": 1, "flow": 1.5},
        "members": {"a": {"rate": 1, "steps": []}},
    }
    return {**plain, **changes}


def test_mapping_becomes_its_dataclass() -> None:
    found = record(content(), Recipe, "one")
    assert found == Recipe(
        name="first",
        count=3,
        mirror=True,
        limit=None,
        solver=Solver(rate=0.0005, steps=(10, 20)),
        weights={"rgb": 1.0, "flow": 1.5},
        members={"a": Solver(rate=1.0, steps=())},
    )
    assert type(found.weights["rgb"]) is float


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": 3}, r"one\.counts: unknown key; valid: name, count, mirror, limit, solver"),
        ({"solver": {"rate": 1}}, r"one\.solver\.steps: missing; expected: rate, steps"),
        ({"count": 3.5}, r"one\.count: expected a whole number, got 3\.5"),
        ({"count": "3"}, r"one\.count: expected a whole number, got '3'"),
        ({"count": True}, r"one\.count: expected a whole number, got True"),
        ({"count": None}, r"one\.count: expected a whole number, got None"),
        ({"limit": "x"}, r"one\.limit: expected a whole number, got 'x'"),
        ({"mirror": 1}, r"one\.mirror: expected true or false, got 1"),
        ({"name": 1}, r"one\.name: expected text, got 1: put it in quotes"),
        ({"solver": {"rate": True, "steps": []}}, r"one\.solver\.rate: expected a number, got Tr"),
        ({"solver": {"rate": 1, "steps": 10}}, r"one\.solver\.steps: expected a list, got 10"),
        ({"solver": {"rate": 1, "steps": [1, "x"]}}, r"solver\.steps\[1\]: expected a whole num"),
        ({"weights": [1]}, r"one\.weights: expected a mapping, got \[1\]"),
        ({"weights": {"flow": "x"}}, r"one\.weights\.flow: expected a number, got 'x'"),
        ({"members": {"a": 1}}, r"one\.members\.a: expected a mapping, got 1"),
        ({"solver": {"rate": 0.0, "steps": []}}, r"one\.solver: rate is above 0, got 0\.0"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_dotted_name(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        record(content(**changes), Recipe, "one")


def test_missing_name_is_refused() -> None:
    with pytest.raises(RecordError, match=r"^count: missing; expected: name, count"):
        record({k: v for k, v in content().items() if k != "count"}, Recipe, "")


def test_keys_alone() -> None:
    require_keys({"a": 1, "b": 2}, ("a", "b"), "x")
    refuse_other_keys({"a": 1}, ("a", "b"), "x")
    with pytest.raises(RecordError, match=r"x\.b: missing; expected: a, b"):
        require_keys({"a": 1}, ("a", "b"), "x")
    with pytest.raises(RecordError, match=r"x\.c: unknown key; valid: a, b"):
        refuse_other_keys({"c": 1}, ("a", "b"), "x")
    with pytest.raises(RecordError, match=r"x: expected a mapping, got 3"):
        refuse_other_keys(3, ("a", "b"), "x")
