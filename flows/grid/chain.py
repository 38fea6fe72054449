"""The grid in a workspace, without Prefect: what `tsn repro` does."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from flows.grid.active import only_run, wait_for_others
from flows.grid.cells import run_cell
from flows.grid.display import TerminalProgress
from flows.grid.jobs import choose_jobs
from flows.grid.lock_file import repair
from flows.grid.queue import require_good, run_grid
from stages.operate.summary import first_answer
from stages.runtime import params


@contextmanager
def repaired(workspace: Path) -> Iterator[None]:
    """Have a workspace to oneself, with what a kill has truncated repaired.

    ProgramError where another run is active in it.
    """
    with only_run(workspace):
        repair(workspace)
        wait_for_others(workspace)
        yield


def run_chain(workspace: Path, targets: Sequence[str], *, jobs: int | None = None) -> None:
    """Run what is not up to date, of the targets or of everything, so many training runs at once.

    ProgramError where another run is active in the workspace, or with the reasons of the cells
    that failed. What finished is kept.
    """
    stop = threading.Event()
    outcomes = run_grid(
        workspace,
        targets,
        choose_jobs(workspace, jobs),
        partial(run_cell, workspace=workspace, stop=stop),
        watch=TerminalProgress(workspace),
        stop=stop,
    )
    require_good(outcomes)


def first_answers(workspace: Path, datasets: Sequence[str], *, jobs: int | None = None) -> None:
    """Run what a first answer of each dataset needs, and print it: the baseline of the first split
    and modality of params.yaml.

    ValueError for a dataset that is not among those of params.yaml.
    """
    settings = params.load(workspace / params.PARAMS)
    active = params.active_datasets(settings)
    if unknown := [name for name in datasets if name not in active]:
        raise ValueError(f"{', '.join(unknown)}: datasets of params.yaml are {', '.join(active)}")
    split = params.section(settings, "splits", tuple[int, ...])[0]
    modality = params.section(settings, "modalities", tuple[str, ...])[0]
    chosen = datasets or active
    run_chain(workspace, [f"baseline@{row}-{split}-{modality}" for row in chosen], jobs=jobs)
    for dataset in chosen:
        print("\n".join(["", f"{dataset}:", *first_answer(dataset, split, modality)]))
