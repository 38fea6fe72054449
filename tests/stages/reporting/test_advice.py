"""What is said where one stream alone is better than the headline that fuses it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from result_rows import FOUND, row
from ruamel.yaml import YAML

from stages.reporting.advice import Advice, advise, mean_weights
from stages.reporting.results import Results

RIGHT = {
    "rgb": np.array([True] * 3 + [False] * 7),
    "flow": np.array([True] * 9 + [False]),
    "two_stream": np.array([True] * 2 + [False] * 7 + [True]),
}


def advice(found: Results) -> Advice:
    given = advise(found, RIGHT)
    assert given is not None
    return given


def results(flow: float = 0.9, learned: float | None = None, weight: float = 0.25) -> Results:
    """Flow beats the fusion of both, 60 %; weights are fitted where `learned` has an accuracy."""
    rows = {"rgb": row(0.3), "flow": row(flow), "two_stream": row(0.6)}
    weights: Mapping[int, Mapping[str, float]] = {}
    if learned is not None:
        rows["learned"] = row(learned)
        weights = {1: {"rgb": 0.0, "flow": 1.0}, 2: {"rgb": 2 * weight, "flow": 1.0}}
    return replace(FOUND, splits={1: rows, 2: rows}, learned=weights)


def test_nothing_is_said_while_the_fusion_is_as_good_or_is_none() -> None:
    assert advise(results(flow=0.6), RIGHT) is None
    assert advise(replace(results(), headline="rgb"), RIGHT) is None


def test_the_stream_the_test_and_the_weakest_member_are_named() -> None:
    first, second, *_, last = advice(results()).sentences
    assert first.startswith("flow alone has 90.0 %, the headline two_stream 60.0 %.")
    assert "right on 7 test videos that two_stream has wrong; on 1 it is the other" in first
    assert first.endswith("may well be chance (McNemar's p = 0.07).")
    assert "Here rgb, with 30.0 %, counts 1." in second
    assert "chosen by them looks somewhat better" in last


def test_a_difference_beyond_chance_is_called_so() -> None:
    right = {**RIGHT, "two_stream": np.zeros(10, bool)}
    found = advise(results(), right)
    assert found is not None and "hardly chance (McNemar's p = 0.0039)" in found.sentences[0]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (results(), {"learned": True}),
        (
            replace(results(), not_run={"learned": "one split"}),
            {"headline": "flow"},
        ),
        (results(learned=0.8), {"headline": "flow"}),
        (results(learned=0.95, weight=0.0), {"headline": "flow"}),
        (
            results(learned=0.95),
            {"headline": "fitted", "combinations": {"fitted": {"rgb": 0.25, "flow": 1}}},
        ),
    ],
)
def test_the_lines_are_of_a_recipe(found: Results, expected: object) -> None:
    assert YAML(typ="safe").load(advice(found).lines) == {"fusion": expected}


def test_the_weights_that_are_proposed_are_the_mean_without_next_to_nothing() -> None:
    learned = {1: {"rgb": 0.02, "flow": 1.0, "warped_flow": 0.5}, 2: {"rgb": 0.0, "flow": 3.0}}
    learned[2]["warped_flow"] = 0.5
    assert mean_weights(learned) == {"flow": 1.0, "warped_flow": 0.25}
