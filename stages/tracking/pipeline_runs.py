"""Pipeline runs: a dataset's mean over splits, and below it the runs that went into it.

The mean's run is the parent of the runs that its pipeline made: networks, fusions, the recogniser.
It has all numbers of the recipe that results depend on, and is named by the recipe's digest and by
what the recipe changes against the default: that of the experiment's first pipeline run. A run that
two pipelines used stays with the first, which made it, and the tags `source.*` of the second lead
there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.runtime import params
from stages.tracking.entries import flatten_params
from tsn.files import json_sha256
from tsn.records import RecordError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as StoredRun

PARENT = "mlflow.parentRunId"
PIPELINE = "report"  # the stage whose run stands for its pipeline
STAGES = frozenset({"pretrain", "cell", "baseline", "fuse", "package", PIPELINE})
DATA = "data"  # a tag of pipeline runs: the digest of all videos and lists
RECIPE = "recipe"  # a tag of every run: the digest of the recipe that it was made under
CHANGED = "changed"  # a tag of pipeline runs: all that the recipe changes
SOURCE = "source."  # tags that lead to the runs that a run was made of
DIGEST_LETTERS = 6
SHOWN_CHANGES = 2
VALUE_LETTERS = 24
# Sections of a recipe that no result depends on.
AFTERWARDS = ("ingest", "package", "promotion")


def recipe_values(dataset: str) -> dict[str, str]:
    """Return the numbers that a dataset's results depend on, as a run has them.

    Those of the recipe, and the splits and modalities of params.yaml. Empty without a recipe.
    """
    try:
        recipe, selection = params.load_recipe(dataset).values, params.load()
        chosen = {name: params.find(selection, name) for name in ("splits", "modalities")}
    except RecordError:
        return {}
    made_by = {name: value for name, value in recipe.items() if name not in AFTERWARDS}
    return flatten_params({**made_by, **chosen})


def digest(values: Mapping[str, str]) -> str:
    """Return a few letters that stand for a recipe's values; nothing for none."""
    return json_sha256(dict(values))[:DIGEST_LETTERS] if values else ""


def changes(values: Mapping[str, str], default: Mapping[str, str]) -> list[str]:
    """Return what differs from the default in a few words each: `flow base_lr=0.01`.

    A number that several modalities have changed alike is one change.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for key in sorted(values.keys() | default.keys()):
        if values.get(key) != default.get(key):
            parts = key.split(".")
            modality = parts[1] if parts[0] in params.MODALITY_SECTIONS and len(parts) > 2 else ""
            value = values.get(key, "none")
            shown = value if len(value) <= VALUE_LETTERS else f"{value[:VALUE_LETTERS]}…"
            found.setdefault((parts[-1], shown), []).append(modality)
    return [
        f"{', '.join(filter(None, modalities))} {name}={value}".strip()
        for (name, value), modalities in found.items()
    ]


def of_modality(values: Mapping[str, str], modality: str) -> dict[str, str]:
    """Return the values that a modality's network depends on; all of them for what is none."""
    if f"train.{modality}.seed" not in values:
        return dict(values)
    sections = ("accept", "init", "source", "split", "score")
    own = tuple(f"{section}.{modality}" for section in params.MODALITY_SECTIONS)
    return {
        key: value
        for key, value in values.items()
        if key.partition(".")[0] in sections or key.startswith(own)
    }


def shorten(found: Sequence[str]) -> list[str]:
    """Return the first changes, and how many more there are."""
    more = len(found) - SHOWN_CHANGES
    return [*found[:SHOWN_CHANGES], *([f"{more} more"] if more > 0 else [])]


@dataclass(frozen=True)
class Introduction:
    """What a new run is called, and the tags that tie it to its pipeline and recipe."""

    name: str
    tags: dict[str, str]


def introduce(
    client: "MlflowClient", experiment: str, dataset: str, name: str, tags: Mapping[str, str]
) -> Introduction:
    """Return how a new run of these tags is introduced: `name` alone if it is of no pipeline.

    The name says what the recipe changes. That of a pipeline run is `3fa9c1 flow base_lr=0.01` or
    `7bd012 default`, that of a part `split1 flow, base_lr=0.01`. Where the default's videos were
    others, the pipeline run's says so.
    """
    values, stage = recipe_values(dataset), tags.get("stage")
    if stage not in STAGES or not values:
        return Introduction(name, {})
    recipe, modality = digest(values), tags.get("modality", "")
    first = first_pipeline(client, experiment)
    default = recipe_of(first, values) if first else values
    found = changes(of_modality(values, modality), of_modality(default, modality))
    if stage != PIPELINE:
        own = [change.removeprefix(f"{modality} ") for change in found]
        parent = parent_tag(client, experiment, recipe) if stage == "package" else {}
        return Introduction(", ".join([name, *shorten(own)]), {RECIPE: recipe, **parent})
    if first and DATA in tags and tags[DATA] != first.data.tags.get(DATA, tags[DATA]):
        found.append("other data")
    told = "; ".join(found) or "nothing"
    return Introduction(
        f"{recipe} {', '.join(shorten(found)) or 'default'}", {RECIPE: recipe, CHANGED: told}
    )


def recipe_of(pipeline: "StoredRun", values: Mapping[str, str]) -> dict[str, str]:
    """Return the recipe's values of a pipeline run, without what else it has as parameters."""
    sections = {key.partition(".")[0] for key in values}
    found: Mapping[str, str] = pipeline.data.params
    return {key: value for key, value in found.items() if key.partition(".")[0] in sections}


def first_pipeline(client: "MlflowClient", experiment: str) -> "StoredRun | None":
    """Return the first pipeline run of an experiment, whose recipe is its default."""
    found = _search(client, experiment, f"tags.stage = '{PIPELINE}'", "ASC")
    return next((run for run in found if RECIPE in run.data.tags), None)


def adopt(client: "MlflowClient", experiment: str, parent: str) -> None:
    """Make a pipeline run the parent of the runs that went into it and have none.

    Those are its sources, their sources, and what was made under the same recipe and never came to
    a pipeline's end: weights to start from, a recogniser, training runs that failed.
    """
    pipeline = client.get_run(parent)
    recipe = pipeline.data.tags.get(RECIPE)
    made = _search(client, experiment, f"tags.{RECIPE} = '{recipe}'") if recipe else []
    found = {run.info.run_id: run for run in (*_sources(client, pipeline), *made)}
    for run_id, run in found.items():
        if run.data.tags.get("stage") in STAGES - {PIPELINE} and PARENT not in run.data.tags:
            client.set_tag(run_id, PARENT, parent)


def parent_tag(client: "MlflowClient", experiment: str, recipe: str) -> dict[str, str]:
    """Return the tag of the newest pipeline run under a recipe, for what is logged after it.

    That is a recogniser. A training under the same recipe may be of a pipeline that is to come,
    which adopts it.
    """
    equal = f"tags.stage = '{PIPELINE}' and tags.{RECIPE} = '{recipe}'"
    found = _search(client, experiment, equal)
    return {PARENT: found[0].info.run_id} if found else {}


def _sources(client: "MlflowClient", run: "StoredRun") -> "Iterator[StoredRun]":
    """Yield the runs that a run's tags lead to, and theirs."""
    from mlflow.exceptions import MlflowException

    for tag, run_id in run.data.tags.items():
        if tag.startswith(SOURCE):
            try:
                source = client.get_run(run_id)
            except MlflowException:
                continue  # it was deleted for good
            yield source
            yield from _sources(client, source)


def _search(
    client: "MlflowClient", experiment: str, equal: str, order: str = "DESC"
) -> "list[StoredRun]":
    by = [f"attributes.start_time {order}"]
    return list(client.search_runs([experiment], equal, order_by=by))
