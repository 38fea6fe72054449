"""The only reader of params.yaml and recipes/: strict, and in DVC's dialect (ruamel, YAML 1.2).

params.yaml says what is run and on what; recipes/<dataset>.yaml holds every number of a dataset. A
section becomes the frozen dataclass beside the function that it configures. Unknown, missing and
mistyped keys are refused with the file, their dotted name and the valid choices. A stage reads its
own sections; `tsn check` reads them all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tsn.records import RecordError, record

PARAMS = Path("params.yaml")
RECIPES = Path("recipes")
MODALITY_SECTIONS = ("extract", "train")  # of a recipe: a section for each modality
# DVC puts it into commands and paths.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What a YAML file holds, as nested plain mappings."""

    path: Path
    values: Mapping[str, Any]


def load(path: Path = PARAMS) -> Settings:
    """Return what params.yaml holds. Raises RecordError when it is missing or is no YAML."""
    if not path.is_file():
        raise RecordError(f"{path}: no such file; run from the project's root")
    try:
        return from_text(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: {error}") from error


def from_text(text: str, path: Path) -> Settings:
    """Return what the text of a file holds. Raises RecordError when it is no YAML."""
    try:
        values = _parse(text)
    except YAMLError as error:
        raise RecordError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise RecordError(f"{path}: expected a mapping of sections")
    return Settings(path, values)


@cache
def _parse(text: str) -> Any:
    """Return what a text holds. A program reads a recipe several times, and once takes 0.1 s."""
    return YAML(typ="safe", pure=True).load(text)


def load_recipe(dataset: str) -> Settings:
    """Return what the recipe of a dataset holds. RecordError names the recipes that there are."""
    path = recipe_path(dataset)
    if not path.is_file():
        known = ", ".join(recipe_names()) or "none"
        raise RecordError(f"{path}: no such recipe; there are: {known}")
    return load(path)


def recipe_path(dataset: str) -> Path:
    """Return where the recipe of a dataset lies. RecordError for a name that none can have."""
    refuse_name(dataset, f"{RECIPES}/")
    return RECIPES / f"{dataset}.yaml"


def active_datasets(selection: Settings | None = None) -> tuple[str, ...]:
    """Return the datasets that params.yaml chooses. RecordError for a name that none can have."""
    selection = selection or load()
    datasets = section(selection, "datasets", tuple[str, ...])
    for dataset in datasets:
        refuse_name(dataset, f"{selection.path}: datasets")
    return datasets


def refuse_name(dataset: str, where: str) -> None:
    """Raise RecordError for a name that would be more than a name in a command or a path."""
    if not NAME.fullmatch(dataset):
        raise RecordError(
            f"{where}: {dataset!r} cannot be a dataset's name; use letters, digits, _ and -"
        )


def recipe_names(root: Path = Path()) -> list[str]:
    """Return the datasets that have a recipe in a project, sorted."""
    return sorted(path.stem for path in (root / RECIPES).glob("*.yaml"))


def section(settings: Settings, dotted: str, cls: type[T]) -> T:
    """Return the section at `train.rgb` as `cls`. Raises RecordError."""
    return record(find(settings, dotted), cls, _where(settings, dotted))


def choice(settings: Settings, dotted: str, table: Mapping[str, type]) -> tuple[str, Any]:
    """Return name and dataclass of a section that holds exactly one key, a row of `table`."""
    found, where = find(settings, dotted), _where(settings, dotted)
    if not isinstance(found, dict) or len(found) != 1:
        raise RecordError(f"{where}: expected exactly one of {', '.join(table)}, got {found!r}")
    (name,) = found
    if name not in table:
        raise RecordError(f"{where}.{name}: unknown; valid: {', '.join(table)}")
    return name, record(found[name], table[name], f"{where}.{name}")


def find(settings: Settings, dotted: str) -> Any:
    """Return the value at a dotted name. RecordError names what is there instead."""
    node: Any = settings.values
    walked: list[str] = []
    for key in dotted.split("."):
        if not isinstance(node, dict) or key not in node:
            where = ".".join(walked) or "the top level"
            keys = ", ".join(map(str, node)) if isinstance(node, dict) else repr(node)
            raise RecordError(f"{_where(settings, dotted)}: missing; {where} has: {keys}")
        node = node[key]
        walked.append(key)
    return node


def _where(settings: Settings, dotted: str) -> str:
    return f"{settings.path}: {dotted}"
