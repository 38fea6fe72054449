"""What dvc.lock records of finished cells: what a recogniser was made of, how well a cell did.

`inputs_digest` stands for the videos, the lists and the recipe of a dataset. `is_made` says whether
a workspace has a recogniser of the same. Neither looks at the code: an edited comment is no reason
to train again.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.grid.lock_file import read_lock_file
from flows.grid.plan import Graph, with_ancestors
from flows.grid.queue import CHECKS, stage_of
from stages.operate.sync import has_params
from stages.runtime import params
from tsn.files import json_sha256
from tsn.metrics import accuracy
from tsn.records import record
from tsn.scoring.fusion import FusionConfig
from tsn.scoring.scores import load_scores

SELECTION = ("splits", "modalities")  # of params.yaml
# Sections of a recipe, and stages, that no recogniser depends on.
NOT_TRAINED = frozenset({"ingest", "promotion", "baseline"})
NOT_A_PART = frozenset({*CHECKS, "baseline"})
MEASURED = ("baseline", "score", "fuse", "report")  # stages that find an accuracy

Entries = Mapping[str, Mapping[str, Any]]


def inputs_digest(workspace: Path, dataset: str) -> str:
    """Return a digest of the recipe and the data that a workspace has, its lists up to date."""
    recipe = params.load(workspace / params.recipe_path(dataset)).values
    selection = params.load(workspace / params.PARAMS)
    data = _data(entries(workspace), dataset)
    content = {
        "recipe": {name: value for name, value in recipe.items() if name not in NOT_TRAINED},
        "selection": {name: params.find(selection, name) for name in SELECTION},
        "data": {Path(path).name: digest for path, digest in data.items()},
    }
    return json_sha256(content)


def is_made(workspace: Path, tree: Path, dataset: str, graph: Graph) -> bool:
    """Return whether dvc.lock of `workspace` has a recogniser of what `tree` has, its lists made.

    graph: the cells of `tree`. Of each that the recogniser depends on, the parameters have to be
    those of `tree`, and of the recogniser itself the data, too.
    """
    recorded, package = entries(workspace), f"package@{dataset}"
    cells = [
        name
        for name in with_ancestors(graph, [package])
        if stage_of(name) not in NOT_A_PART and not name.endswith(".dvc")  # which has data alone
    ]
    if not all(name in recorded and has_params(recorded[name], tree) for name in cells):
        return False
    used = {row["path"]: row["md5"] for row in recorded[package].get("deps", ())}
    data = _data(entries(tree), dataset)
    return bool(data) and all(used.get(path, digest) == digest for path, digest in data.items())


def accuracy_of(workspace: Path, cell: str) -> str:
    """Return the mean class accuracy that a scoring, a fusion or a report found; else nothing.

    Of a fusion and a report it is the headline's.
    """
    entry = entries(workspace).get(cell, {}) if stage_of(cell) in MEASURED else {}
    for row in entry.get("outs", ()):
        path = workspace / row["path"]
        with suppress(ValueError, KeyError, OSError):  # it is not needed
            if path.suffix == ".npz":
                scores = load_scores(path)
                return f"{accuracy(scores.scores, scores.labels).mean_class_accuracy:.1%}"
            if path.parts[-3:-2] == ("metrics",):
                rows = json.loads(path.read_text(encoding="utf-8"))
                return f"{rows[_headline(entry['params'])]['mean_class_accuracy']:.1%}"
    return ""


def _headline(recorded: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the row of the result, of the modalities that a cell was run with."""
    (recipe,) = (values for path, values in recorded.items() if path != str(params.PARAMS))
    config = record(recipe["fusion"], FusionConfig, "fusion")
    return config.headline_of(recorded[str(params.PARAMS)]["modalities"])


def entries(workspace: Path) -> Entries:
    """Return the entries of dvc.lock, by cell; none where there is no such file."""
    content = YAML(typ="safe").load(read_lock_file(workspace))
    found: Entries = (content or {}).get("stages", {})
    return found


def _data(recorded: Entries, dataset: str) -> dict[str, str]:
    """Return the digests of the videos and the lists, by path."""
    return {
        row["path"]: row["md5"]
        for stage in ("download", "split")
        for row in recorded.get(f"{stage}@{dataset}", {}).get("outs", ())
    }
