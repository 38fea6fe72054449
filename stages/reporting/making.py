"""How a report's results were made: code, recipe, weights, networks, computer and times.

All of it comes from the results, the recipe, the last commit and the notes that the processes left
which made the results, and nothing from the moment: drawn again there, the page is the same.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stages.reporting.page import Listing
from stages.reporting.result_tables import Table
from stages.reporting.results import Results, is_combination
from stages.runtime import params
from stages.tracking.entries import flatten_params
from stages.tracking.made import Made, code_tags, read_note
from stages.tracking.pipeline_runs import digest, recipe_values
from tsn.records import RecordError
from tsn.scoring.scores import LEARNED, VideoScores

# What a result depends on; where new clips come from, and promotion, are no part of it.
SECTIONS = (
    *("source", "split", "accept", "extract", "init"),
    *("train", "score", "baseline", "fusion"),
)
MOST_CHANGES = 40
LIKE = re.compile(r"written by `tsn new` like (\S+\.yaml)")
UNKNOWN = "not known here: restored, or made on another machine"


@dataclass(frozen=True, kw_only=True)
class Making:
    """The section of the page. `link` leads to MLflow, where there is a server."""

    facts: Mapping[str, str]
    link: str
    changes: Listing | None
    weights: Table | None
    networks: Table


def describe_making(
    found: Results,
    recipe: params.Settings,
    cells: Mapping[int, Mapping[str, VideoScores]],
    link: str,
) -> Making:
    """Return how the results of these cells, by split and modality, were made."""
    trained = [read_note(cell.model) for row in cells.values() for cell in row.values()]
    scored = [read_note(cell.fingerprint) for row in cells.values() for cell in row.values()]
    facts = {
        "Code": _code(trained + scored),
        "Made": _period(trained + scored),
        "Took": f"{_took(trained)} to train and {_took(scored)} to score, added up",
        "Device": _each(trained, "device"),
        "System": _each(trained, "system"),
        "Versions": _each(trained, "versions"),
    }
    base, changes = recipe_changes(recipe)
    values = {name: params.find(recipe, name) for name in SECTIONS}
    named = digest(recipe_values(found.dataset))  # as MLflow's pipeline run is
    facts["Recipe"] = f"{recipe.path}, digest {named}: {_as_base(base, changes)}"
    facts["Tested"] = (
        f"{values['score']['snippets']} snippets of a video, {values['score']['crops']}; "
        f"{found.tested.videos} videos"
    )
    facts["MLflow"] = f"experiment {found.dataset}" + ("" if link else ", shown by tsn ui")
    listing = Listing(
        title="What differs from " + base,
        caption=f"{len(changes) - MOST_CHANGES} more differ."
        if len(changes) > MOST_CHANGES
        else "",
        header=("Key", base, "Here"),
        rows=changes[:MOST_CHANGES],
    )
    return Making(
        facts=facts,
        link=link,
        changes=listing if changes else None,
        weights=weights_table(found),
        networks=networks_table(found.modalities, values["train"], cells),
    )


def weights_table(found: Results) -> Table | None:
    """Return the weight of each modality in every fusion; None where nothing is fused."""
    fused = {name: row for name, row in found.weights.items() if is_combination(name)}
    rows = [[name, *_weights(row, found.modalities)] for name, row in fused.items()]
    rows += [
        [f"{LEARNED}, split {split}", *_weights(row, found.modalities)]
        for split, row in found.learned.items()
    ]
    if not rows:
        return None
    headline = list(fused).index(found.headline) if found.headline in fused else None
    header = ["", *found.modalities]
    return Table(header=header, rows=rows, singles=0, headline=headline, baseline=None)


def _weights(row: Mapping[str, float], modalities: Sequence[str]) -> list[str]:
    return [f"{row[name]:.3g}" if row.get(name) else "–" for name in modalities]


def networks_table(
    modalities: Sequence[str],
    train: Mapping[str, Any],
    cells: Mapping[int, Mapping[str, VideoScores]],
) -> Table:
    """Return what each modality's network is, how it was trained, and what that took."""
    rows = []
    for name in modalities:
        network, solver = train[name]["network"], train[name]["solver"]
        own = [row[name] for row in cells.values()]
        rows.append(
            [
                name,
                network["backbone"],
                str(train[name]["initialisation"]),
                f"{network['num_segments']}, {network['consensus']}",
                str(train[name]["input_size"]),
                f"{solver['iterations']} x {solver['batch_size']}",
                f"{solver['base_lr']:g}",
                _took([read_note(cell.model) for cell in own]),
                _took([read_note(cell.fingerprint) for cell in own]),
            ]
        )
    header = ["", "network", "start", "K, consensus", "pixels", "iterations x videos", "rate"]
    header += ["trained", "scored"]
    return Table(header=header, rows=rows, singles=len(rows), headline=None, baseline=None)


def _took(notes: Sequence[Made]) -> str:
    """Return how long some processes took, added; they may have run beside each other."""
    spans = [n.ended - n.began for n in notes if n.ended is not None and n.began is not None]
    if len(spans) < len(notes) or not notes:
        return "–"
    seconds = sum(spans) / 1000
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _code(notes: Sequence[Made]) -> str:
    """Return the commits that the results were made with, and that of the report if another."""
    tags = [note.tags for note in notes]
    found = list(dict.fromkeys(_commit(row) for row in tags if "restored" not in row)) or [UNKNOWN]
    report = _commit(code_tags())
    return "; ".join(found) + ("" if report in found else f"; this page: {report}")


def _commit(tags: Mapping[str, str]) -> str:
    if "git.commit" not in tags:
        return "no git repository"
    dirty = " with uncommitted changes" if tags["git.dirty"] == "true" else ", nothing uncommitted"
    return f"commit {tags['git.commit'][:10]}{dirty}"


def _period(notes: Sequence[Made]) -> str:
    """Return when the first began and the last ended."""
    began = [note.began for note in notes if note.began is not None]
    ended = [note.ended for note in notes if note.ended is not None]
    if not began or not ended:
        return UNKNOWN
    first, last = (datetime.fromtimestamp(t / 1000, UTC) for t in (min(began), max(ended)))
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {until} UTC"


def _each(notes: Sequence[Made], key: str) -> str:
    found = dict.fromkeys(note.computer[key] for note in notes if key in note.computer)
    return "; ".join(found) or UNKNOWN


def _as_base(base: str, changes: Sequence[object]) -> str:
    if not base:
        return "nothing to compare it with"
    if not changes:
        return f"as {base}"
    verb = "value differs" if len(changes) == 1 else "values differ"
    return f"{len(changes)} {verb} from {base}"


def recipe_changes(recipe: params.Settings) -> tuple[str, list[tuple[str, str, str]]]:
    """Return what a recipe is compared with, and the keys that differ, with both values.

    That is the recipe that `tsn new` copied, or else the one that the last commit has: what an
    experiment changed. Without either the name is empty.
    """
    name, values = _base_of(recipe)
    if values is None:
        return "", []
    before, after = (
        flatten_params({k: v for k, v in row.items() if k in SECTIONS}) for row in values
    )
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return name, [(key, before.get(key, "–"), after.get(key, "–")) for key in keys]


def _base_of(
    recipe: params.Settings,
) -> tuple[str, tuple[Mapping[str, Any], Mapping[str, Any]] | None]:
    copied = LIKE.search(recipe.path.read_text(encoding="utf-8"))
    if copied and Path(copied[1]).is_file():
        return copied[1], (params.load(Path(copied[1])).values, recipe.values)
    try:
        show = ["git", "show", f"HEAD:./{recipe.path}"]
        text = subprocess.run(show, capture_output=True, check=True).stdout
        committed = params.from_text(text.decode("utf-8", "replace"), recipe.path)
    except (OSError, subprocess.SubprocessError, RecordError):  # no git, no commit, no YAML
        return "", None
    return "the last commit", (committed.values, recipe.values)
