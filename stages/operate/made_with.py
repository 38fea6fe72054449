"""The recipe that results were made with: dvc.lock has it, and the recipe file may be newer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.operate.sync import read_entries
from stages.runtime import params
from stages.runtime.params import Settings
from stages.runtime.places import DVC_LOCK
from stages.tracking.entries import flatten_params
from tsn.names import first_few

NO_RESULTS = ("check", "look", "visualise", "package")  # stages that change no number compared
REPORT = "report"
NAMED = 3  # changed settings in the note


def recipe_of_results(
    folder: Path, dataset: str, splits: Sequence[int], modalities: Sequence[str]
) -> tuple[Settings, str]:
    """Return the recipe as the results in a project's folder were made with it, and a note.

    Sections that no finished cell was run with are as in the file. The note names what was changed
    in the file since, and is empty where nothing was.
    """
    written = params.load(folder / params.recipe_path(dataset))
    made = dict(written.values)
    for dotted, section in _recorded(folder, dataset, splits, modalities).items():
        if _find(written.values, dotted) != section:
            made = _put(made, dotted.split("."), section)
    old, new = flatten_params(made), flatten_params(written.values)
    changed = [name for name in dict.fromkeys((*new, *old)) if old.get(name) != new.get(name)]
    if not changed:
        return written, ""
    return replace(written, values=made), (
        f"{params.recipe_path(dataset)} was changed after the run ({first_few(changed, NAMED)}); "
        "the settings here are those of the run"
    )


def _recorded(
    folder: Path, dataset: str, splits: Sequence[int], modalities: Sequence[str]
) -> Mapping[str, Any]:
    """Return the sections that the cells were run with, by dotted name.

    Of cells that were run with different values, the one that the recipe file no longer has counts.
    What the report recorded counts for sections alone that no other cell has.
    """
    parts = {"", *(f"-{name}" for name in (*splits, *modalities))}
    parts |= {f"-{split}-{name}" for split in splits for name in modalities}
    cells = {f"{dataset}{part}" for part in parts}
    path = str(params.recipe_path(dataset))
    written = params.load(folder / path).values
    found: dict[str, Any] = {}
    reported: dict[str, Any] = {}
    for name, entry in read_entries(folder / DVC_LOCK).items():
        stage, _, cell = name.partition("@")
        if cell not in cells or stage in NO_RESULTS:
            continue
        sections = entry.get("params", {}).get(path, {})
        if stage == REPORT:
            reported = sections
            continue
        for dotted, section in sections.items():
            if dotted not in found or section != _find(written, dotted):
                found[dotted] = section
    known = {name.split(".")[0] for name in found}
    return found | {name: reported[name] for name in reported if name.split(".")[0] not in known}


def _find(values: Mapping[str, Any], dotted: str) -> Any:
    """Return the value at a dotted name, None where there is none."""
    node: Any = values
    for key in dotted.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _put(values: Mapping[str, Any], keys: Sequence[str], section: Any) -> dict[str, Any]:
    """Return a copy of nested mappings with another value at the keys."""
    first, *others = keys
    below = values.get(first)
    inside = below if isinstance(below, Mapping) else {}
    return {**values, first: _put(inside, others, section) if others else section}
