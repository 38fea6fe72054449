"""What `tsn repro` would do: which cells, for how long, on how much disk, of which clips."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.grid.plan import changed_cells, plan_of, read_graph
from flows.grid.queue import CHECKS, stage_of
from flows.grid.time_left import cell_of
from flows.processes.programs import ProgramError
from stages.operate.changed_sources import changed_sources
from stages.operate.clips import ENOUGH_TEST, ENOUGH_TRAIN, Clips, taken_clips, thin_classes
from stages.operate.coming import coming_clips
from stages.operate.cost import (
    Cell,
    core_seconds,
    counted,
    readable_size,
    seconds_of,
    spoken,
    stream_bytes,
)
from stages.runtime import gpu_slots, params
from stages.runtime.machine import count_cores, read_machine
from stages.runtime.places import DatasetPaths
from tsn.lists import ListedVideo
from tsn.splits.checks import least_to_most

THIN_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A dataset's cells that will run, how many will not, and its clips, if they are known."""

    dataset: str
    cells: Sequence[Cell]
    up_to_date: int
    clips: Clips | None


def cells_of(names: Iterable[str], dataset: str, active: Sequence[str]) -> list[Cell]:
    """Return the cells of a dataset among these, by their DVC names."""
    found = (cell_of(name, active) for name in names)
    return [row[1] for row in found if row is not None and row[0] == dataset]


def forecast(workspace: Path, dataset: str | None) -> list[str]:
    """Return lines on what would run now, of a dataset or of all that params.yaml chooses."""
    active = params.active_datasets()
    if dataset is not None and dataset not in active:
        return [f"{dataset} is not among datasets of params.yaml, so nothing of it would run"]
    try:
        graph = read_graph(workspace)
        changed = {name for name in changed_cells(workspace) if stage_of(name) not in CHECKS}
        changed |= {f"download@{row}" for row in changed_sources(active)}
        plan = plan_of(graph, changed)  # what a check writes never changes: nothing runs for it
    except ProgramError as error:
        return [f"what would run is not known: {error}"]
    lines: list[str] = []
    for name in [dataset] if dataset else active:
        coming = cells_of((cell.name for cell in plan.cells), name, active)
        found = Forecast(
            dataset=name,
            cells=coming,
            up_to_date=len(cells_of(graph, name, active)) - len(coming),
            clips=find_clips(name, split=any(cell.stage == "split" for cell in coming)),
        )
        lines += ["", *describe(found, params.load_recipe(name).values)]
    return lines


def find_clips(dataset: str, *, split: bool) -> Clips | None:
    """Return the clips of a dataset: as they were split, or as they will be if it is to be."""
    if split:
        return coming_clips(params.load_recipe(dataset))
    return taken_clips(DatasetPaths(dataset))


def describe(found: Forecast, recipe: Mapping[str, Any]) -> list[str]:
    """Return what a dataset's forecast says."""
    if found.clips is None:
        return [
            f"{found.dataset}: its videos are not here yet, so how long it takes is not known",
            *count_cells(found, recipe),
        ]
    classes = len(found.clips.lists.classes)
    clips = len(found.clips.lists.videos)
    return [
        f"{found.dataset}: {clips} clips of {classes} classes",
        *describe_splits(found.clips),
        "",
        *count_cells(found, recipe),
    ]


def describe_splits(clips: Clips) -> list[str]:
    """Return how many clips each split that is run trains on and tests, and its thin classes."""
    chosen = params.section(params.load(), "splits", tuple[int, ...])
    train = {split: clips.lists.train[split] for split in chosen if split in clips.lists.train}
    lists = replace(clips.lists, train=train)
    lines = [f"  {'split':8}{'to train':>10}{'a class':>12}{'to test':>10}{'a class':>12}"]
    for split, trained in lists.train.items():
        test = lists.test[split]
        lines.append(
            f"  {split:<8}{len(trained):>10}{of_a_class(trained):>12}"
            f"{len(test):>10}{of_a_class(test):>12}"
        )
    thin = thin_classes(lists)
    if not thin:
        return [
            *lines,
            f"  thin classes: none ({ENOUGH_TRAIN} to train and {ENOUGH_TEST} to test are enough)",
        ]
    lines.append(
        f"  thin classes: {len(thin)} (below {ENOUGH_TRAIN} clips to train or {ENOUGH_TEST} to "
        "test); add clips, or expect little of them"
    )
    lines += [f"    {name}: {few}" for name, few in list(thin.items())[:THIN_SHOWN]]
    more = len(thin) - THIN_SHOWN
    return [*lines, f"    and {more} more"] if more > 0 else lines


def of_a_class(videos: Sequence[ListedVideo]) -> str:
    """Return the least and the most videos that a class has: `3 to 6`, or `6` where all have."""
    return least_to_most(Counter(video.label for video in videos).values())


def count_cells(found: Forecast, recipe: Mapping[str, Any]) -> list[str]:
    """Return the table of stages with something to run, and what all of it takes."""
    if not found.cells:
        return [f"  all {found.up_to_date} cells are up to date; `tsn show` shows the result"]
    cores, clips = count_cores(), found.clips
    lines = [f"  {'to run':10}{'cells':>8}" + (f"{'about':>18}" if clips else "")]
    for stage, count in Counter(cell.stage for cell in found.cells).items():
        lines.append(f"  {stage:10}{count:>8}")
        if clips:
            rows = [core_seconds(c, recipe, clips) for c in found.cells if c.stage == stage]
            lines[-1] += f"{spoken(sum(rows) / cores):>18}"
    lines.append(f"  {'all':10}{len(found.cells):>8}")
    if clips:
        whole = spoken(seconds_of(found.cells, recipe, clips, cores))
        by = "by the CPU, and much less by a GPU" if has_gpu() else f"on {counted(cores, 'core')}"
        lines[-1] += f"{whole:>18} {by}"
        lines += describe_disk(found, recipe, clips)
    if not found.up_to_date:
        return lines
    verb = "is" if found.up_to_date == 1 else "are"
    return [*lines, f"  {counted(found.up_to_date, 'cell')} {verb} up to date"]


def has_gpu() -> bool:
    """Return whether networks would be trained on a GPU, for which there are no rates."""
    return read_machine().device != "cpu" and bool(gpu_slots.visible_gpus())


def describe_disk(found: Forecast, recipe: Mapping[str, Any], clips: Clips) -> list[str]:
    """Return how much disk the videos and streams to come take, and what is free."""
    names = [cell.modality for cell in found.cells if cell.stage == "extract" and cell.modality]
    size = stream_bytes(recipe, names, clips)
    if any(cell.stage == "download" for cell in found.cells):
        size += clips.bytes
    free = shutil.disk_usage(Path()).free
    if not size:
        return []
    short = "" if size < free else ": too little"
    return [f"  disk: about {readable_size(size)}; {free / 1e9:.0f} GB are free{short}"]
