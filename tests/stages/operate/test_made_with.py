"""The recipe of results, from what dvc.lock says that cells were run with."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.operate.made_with import recipe_of_results

RECIPE = {"score": {"snippets": 25}, "train": {"rgb": {"seed": 1}}, "fusion": {"headline": "rgb"}}
SCORE = {"score": {"snippets": 3}}


def project(folder: Path, cells: dict[str, dict[str, Any]]) -> Path:
    """A recipe `mine`, and cells that were run with these sections of it."""
    (folder / "recipes").mkdir()
    stages = {
        name: {"cmd": "x", "params": {"recipes/mine.yaml": sections}}
        for name, sections in cells.items()
    }
    yaml = YAML()
    yaml.dump(RECIPE, folder / "recipes/mine.yaml")
    yaml.dump({"schema": "2.0", "stages": stages}, folder / "dvc.lock")
    return folder


@pytest.mark.parametrize(
    ("cells", "changed"),
    [
        ({"score@mine-1-rgb": SCORE}, "score.snippets"),
        ({"score@mine-1-flow": SCORE, "score@other-1-rgb": SCORE, "package@mine": SCORE}, ""),
        ({"report@mine": {"fusion": {"headline": "flow"}}}, "fusion.headline"),
        ({"train@mine-1-rgb": {"train.rgb": {"seed": 1}}, "report@mine": {"train": {}}}, ""),
        ({"train@mine-1-rgb": {"train.rgb": {"seed": 2}}}, "train.rgb.seed"),
    ],
)
def test_settings_are_those_that_the_numbers_were_made_with(
    tmp_path: Path, cells: dict[str, dict[str, Any]], changed: str
) -> None:
    folder = project(tmp_path, cells)
    made, note = recipe_of_results(folder, "mine", [1], ["rgb"])
    assert (changed in note) if changed else not note
    assert (made.values == RECIPE) is not bool(changed)
