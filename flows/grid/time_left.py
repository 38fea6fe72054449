"""How long a run still takes: what its cells were expected to cost, by what they took so far.

What a cell costs is known for a core of a server (`stages/operate/cost.py`). The cells of this run
that ended say by which factor this machine is slower or faster, for each stage.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.grid.cells import CellState, Outcome
from flows.grid.queue import stage_of
from stages.operate.clips import taken_clips
from stages.operate.cost import CELL_SECONDS, Cell, core_seconds
from stages.runtime import params
from stages.runtime.machine import Machine
from stages.runtime.places import DatasetPaths

BASIS = 0.1  # of what is expected in all has to have run, before anything is told
LEAST_REST = 0.1  # of what a cell is expected to take, while it runs
CELL = r"(?P<stage>\w+)@{dataset}(?:-(?P<split>\d+))?(?:-(?P<modality>\w+))?"


@dataclass(frozen=True, kw_only=True)
class Running:
    """A cell that runs: for how many seconds, and how many it says are left, if it says."""

    cell: str
    seconds: float
    left: float | None


def cell_of(name: str, datasets: Sequence[str]) -> tuple[str, Cell] | None:
    """Return the dataset and the parts of a cell, by its DVC name; None for one of no dataset."""
    for dataset in sorted(datasets, key=len, reverse=True):
        if found := re.fullmatch(CELL.format(dataset=re.escape(dataset)), name):
            split = int(found["split"]) if found["split"] else None
            return dataset, Cell(stage=found["stage"], split=split, modality=found["modality"])
    return None


def expected_seconds(workspace: Path, cells: Iterable[str]) -> dict[str, float] | None:
    """Return how long cells take alone on a server; None while a dataset is not yet split."""
    try:
        settings = params.load(workspace / params.PARAMS)
        active = params.active_datasets(settings)
        workers = max(1, params.section(settings, "machine", Machine).workers)
        names = {cell: cell_of(cell, active) for cell in cells}
        known = {
            dataset: (
                params.load(workspace / params.recipe_path(dataset)).values,
                taken_clips(DatasetPaths(dataset, workspace)),
            )
            for dataset in {part[0] for part in names.values() if part}
        }
        costs = {
            cell: core_seconds(part[1], *known[part[0]]) if part else CELL_SECONDS
            for cell, part in names.items()
        }
        return {
            cell: cost / workers if stage_of(cell) == "extract" else cost
            for cell, cost in costs.items()
        }
    except (OSError, ValueError, KeyError):  # nothing depends on it
        return None


def seconds_left(
    expected: Mapping[str, float],
    outcomes: Iterable[Outcome],
    running: Iterable[Running],
    queued: Iterable[str],
    elapsed: float,
) -> float | None:
    """Return how long the run still takes; None while too little of it has run to say.

    elapsed: seconds since the first cell began.
    """
    ran = {row.cell: row.seconds for row in outcomes if row.state is CellState.RAN}
    running, queued = list(running), list(queued)
    every = [*ran, *(row.cell for row in running), *queued]
    if not ran or elapsed <= 0 or any(cell not in expected for cell in every):
        return None
    if sum(expected[cell] for cell in ran) < BASIS * sum(expected[cell] for cell in every):
        return None
    factor = _factors(expected, ran)
    rest = {cell: expected[cell] * factor.get(stage_of(cell), factor[""]) for cell in every}
    rests = [
        max(rest[row.cell] - row.seconds, LEAST_REST * rest[row.cell])
        if row.left is None
        else row.left
        for row in running
    ]
    at_once = (sum(ran.values()) + sum(row.seconds for row in running)) / elapsed
    return max([(sum(rests) + sum(rest[cell] for cell in queued)) / max(at_once, 1.0), *rests])


def _factors(expected: Mapping[str, float], ran: Mapping[str, float]) -> dict[str, float]:
    """Return by how much cells took longer than expected: of each stage, and of all as ""."""
    stages: dict[str, list[str]] = {"": list(ran)}
    for cell in ran:
        stages.setdefault(stage_of(cell), []).append(cell)
    return {
        stage: sum(ran[cell] for cell in cells) / sum(expected[cell] for cell in cells)
        for stage, cells in stages.items()
    }
