"""Studies: tables whose rows are a recipe with some values changed, as studies.yaml has them.

A study's file says what is changed and what was published; what comes of it is in
`stages/reporting/study_result.py`, and `flows/study.py` runs it.
"""

import copy
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.operate import check
from stages.operate.new import ROUND_TRIP, refuse_name, write_yaml
from stages.runtime import params
from stages.runtime.params import Settings
from stages.runtime.places import NEW_CLIPS
from tsn.modality import MODALITIES
from tsn.records import RecordError

STUDIES = Path("studies.yaml")
NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a row: part of a DVC experiment's name
COMPARED = ("rows", "columns")
NEW_KEYS = "fusion.combinations"  # the only section to which an override may add a key
HEADER = """\
# {name}: row {row} of the study {study} (studies.yaml), of {like}. Every number of this dataset.

"""
Overrides = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a study.

    label: what the table calls it. set: the values of the recipe that it changes, by dotted name,
    in which `*` is every key; None for a number that is quoted and not run. on: more of them for
    one dataset. published: percent, by column. published_speed: frames/s, by column.
    """

    label: str
    set: dict[str, Any] | None
    on: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    published_speed: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study.

    source, dataset, splits: where the published numbers stand, and what they were measured on.
    columns: by what the table calls it, a modality or a combination of the recipe. compared:
    whether the published order is one of rows (in each column) or of columns (in each row). set,
    on: as a row's, for all rows. note: what a reader has to know of it. speed: whether the frames/s
    of each column are measured, too; published_on: on which hardware published ones were.
    """

    title: str
    source: str
    dataset: str
    splits: tuple[int, ...]
    columns: dict[str, str]
    compared: str
    rows: dict[str, Row]
    set: dict[str, Any] = field(default_factory=dict)
    on: dict[str, dict[str, Any]] = field(default_factory=dict)
    note: str = ""
    speed: bool = False
    published_on: str = ""

    def __post_init__(self) -> None:
        if self.compared not in COMPARED:
            raise ValueError(f"compared: {self.compared!r}, expected {' or '.join(COMPARED)}")
        for name, row in self.rows.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"rows.{name}: a row's name is of small letters, digits and _")
            for key in ("published", "published_speed"):
                if other := [column for column in getattr(row, key) if column not in self.columns]:
                    raise ValueError(
                        f"rows.{name}.{key}.{other[0]}: no such column; there are: "
                        f"{', '.join(self.columns)}"
                    )
            if row.published_speed and not (self.speed and self.published_on):
                raise ValueError(
                    f"rows.{name}.published_speed: the study needs `speed: true`, and in "
                    "`published_on` the hardware"
                )
        if not any(row.set is not None for row in self.rows.values()):
            raise ValueError("rows: every row has `set: null`, so there is nothing to run")

    def chosen(self, names: Sequence[str]) -> dict[str, Row]:
        """Return the rows of these names that are run, or all that are; ValueError for another."""
        runnable = {name: row for name, row in self.rows.items() if row.set is not None}
        for name in names:
            if name in self.rows and name not in runnable:
                raise ValueError(f"row {name}: it is quoted from {self.source}, not run here")
            if name not in runnable:
                raise ValueError(f"no row {name}; there are: {', '.join(runnable)}")
        return {name: runnable[name] for name in names or runnable}


@dataclass(frozen=True, kw_only=True)
class Studies:
    """What studies.yaml holds. small: by dataset, the values of its recipe for a quick look."""

    small: dict[str, dict[str, Any]]
    studies: dict[str, Study]


def load_studies(path: Path = STUDIES) -> Studies:
    """Return what the file holds. RecordError says what in it cannot be meant."""
    content = params.load(path)
    small = params.section(content, "small", dict[str, dict[str, Any]])
    rows = params.find(content, "studies")
    if not isinstance(rows, dict):
        raise RecordError(f"{path}: studies: expected a mapping of studies, got {rows!r}")
    studies = {str(name): params.section(content, f"studies.{name}", Study) for name in rows}
    return Studies(small=small, studies=studies)


def find_study(studies: Studies, name: str) -> Study:
    """Return a study; ValueError names those that there are."""
    if name not in studies.studies:
        raise ValueError(f"no study {name} in {STUDIES}; there are: {', '.join(studies.studies)}")
    return studies.studies[name]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row with one seed: the recipe and params.yaml that it is run with, comments and all."""

    row: str
    seed: int | None
    modalities: tuple[str, ...]
    recipe: Any
    params: Any

    @property
    def name(self) -> str:
        """Return the row's name and its seed, if the recipe's is not taken."""
        return self.row if self.seed is None else f"{self.row}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run of a study: the name of it, on which dataset, rows, splits and seeds.

    seeds: of training; none for the recipe's own. small: whether the small setting is used.
    """

    name: str
    study: Study
    small: Overrides
    dataset: str
    rows: Sequence[str]
    splits: Sequence[int]
    seeds: Sequence[int]

    @property
    def setting_name(self) -> str:
        """Return the dataset, and what of small setting and splits is not as the study has it."""
        parts = [self.dataset, *(["small"] if self.small else [])]
        if list(self.splits) != list(self.study.splits):
            parts += ["splits", *map(str, self.splits)]
        return "-".join(parts)

    @property
    def file_name(self) -> str:
        """Return what its files are called: the dataset, and what is not as the study has it."""
        parts = [self.setting_name]
        if self.rows:
            parts += ["rows", *self.rows]
        if self.seeds:
            parts += ["seeds", *map(str, self.seeds)]
        return "-".join(parts)

    def runs(self, folder: Path) -> tuple[list[Run], dict[str, str]]:
        """Return the rows as they are run on a project's recipe, and why others cannot be.

        Nothing is written. RecordError where a row that was asked for by name cannot be run, or
        none can.
        """
        seeds: Sequence[int | None] = self.seeds or (None,)
        runs, refused = [], {}
        for name in self.study.chosen(self.rows):
            try:
                runs += [self._run(folder, name, seed) for seed in seeds]
            except RecordError as error:
                refused[name] = str(error)
        if refused and (self.rows or not runs):
            raise RecordError("; ".join(f"row {name}: {why}" for name, why in refused.items()))
        return runs, refused

    def recipe_of(self, folder: Path, name: str) -> Any:
        """Return the recipe of one row."""
        study, row = self.study, self.study.chosen([name])[name]
        recipe = ROUND_TRIP.load(folder / params.recipe_path(self.dataset))
        for overrides in (
            self.small,
            study.set,
            study.on.get(self.dataset, {}),
            row.set or {},
            row.on.get(self.dataset, {}),
        ):
            override(recipe, overrides)
        return recipe

    def _run(self, folder: Path, name: str, seed: int | None) -> Run:
        recipe = self.recipe_of(folder, name)
        if seed is not None:
            override(recipe, {"train.*.seed": seed})
        modalities = self._modalities(recipe)
        recipe["package"]["split"] = self.splits[0]
        content = ROUND_TRIP.load(folder / params.PARAMS)
        content["datasets"][:] = [self.dataset]
        content["splits"][:] = self.splits
        content["modalities"][:] = modalities
        settings = Settings(params.recipe_path(self.dataset), plain(recipe))
        check.check_recipe(settings)
        check.check_fit(Settings(params.PARAMS, plain(content)), settings)
        return Run(row=name, seed=seed, modalities=modalities, recipe=recipe, params=content)

    def _modalities(self, recipe: Any) -> tuple[str, ...]:
        """Return the modalities that the columns are made of, in the usual order."""
        combinations = plain(recipe)["fusion"]["combinations"]
        members: set[str] = set()
        for title, column in self.study.columns.items():
            if column not in combinations and column not in MODALITIES:
                raise RecordError(
                    f"columns.{title}: {column} is no modality ({', '.join(MODALITIES)}) and no "
                    f"combination of the recipe ({', '.join(combinations)})"
                )
            members |= combinations.get(column, {column: 1.0}).keys()
        return tuple(name for name in MODALITIES if name in members)


def make_plan(
    name: str,
    dataset: str,
    *,
    rows: Sequence[str] = (),
    splits: Sequence[int] = (),
    seeds: Sequence[int] = (),
    small: bool = False,
    root: Path = Path(),
) -> Plan:
    """Return what is to be run. ValueError for a study, row or small setting that there is not."""
    studies = load_studies(root / STUDIES)
    found = find_study(studies, name)
    found.chosen(rows)
    if small and dataset not in studies.small:
        raise ValueError(f"{STUDIES} has a small setting of {', '.join(studies.small)} alone")
    return Plan(
        name=name,
        study=found,
        small=studies.small[dataset] if small else {},
        dataset=dataset,
        rows=tuple(rows),
        splits=tuple(splits or found.splits),
        seeds=tuple(seeds),
    )


def override(content: Any, overrides: Overrides) -> None:
    """Set values by dotted name, `*` for every key; RecordError for a name that is not there."""
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        for section in _sections(content, parents, dotted):
            names = list(section) if last == "*" else [last]
            for name in names:
                if name not in section and ".".join(parents) != NEW_KEYS:
                    raise RecordError(
                        f"{dotted}: the recipe has no {name} there; it has: {', '.join(section)}"
                    )
                section[name] = copy.deepcopy(value)


def _sections(node: Any, parents: Sequence[str], dotted: str) -> Iterator[MutableMapping[str, Any]]:
    """Yield the sections that the parents of a dotted name lead to."""
    if not isinstance(node, MutableMapping):
        raise RecordError(f"{dotted}: there is {node!r} in the recipe, and no section")
    if not parents:
        yield node
        return
    first, *others = parents
    if first != "*" and first not in node:
        raise RecordError(f"{dotted}: the recipe has no {first} there; it has: {', '.join(node)}")
    for name in list(node) if first == "*" else [first]:
        yield from _sections(node[name], others, dotted)


def plain(node: Any) -> Any:
    """Return a mapping with comments as one without."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    for kind in (
        bool,
        int,
        float,
        str,
    ):  # ruamel's numbers and texts remember how they were written
        if isinstance(node, kind):
            return kind(node)
    return node


def promote(plan: Plan, row: str, name: str) -> Path:
    """Write a row as the recipe `name`, which must not be there; return its path."""
    refuse_name(name)
    recipe = plan.recipe_of(Path(), row)
    recipe.ca.comment = None  # at its top, of the recipe that it comes from
    check.check_recipe(Settings(params.recipe_path(name), plain(recipe)))
    recipe["ingest"]["inbox"] = str(NEW_CLIPS / name)
    like, path = params.recipe_path(plan.dataset), params.recipe_path(name)
    write_yaml(path, recipe, HEADER.format(name=name, row=row, study=plan.name, like=like))
    return path
