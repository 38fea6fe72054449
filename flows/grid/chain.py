"""The grid in a workspace, without Prefect: what `tsn repro` does."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from flows.grid.active import only_run, wait_for_others
from flows.grid.cells import run_cell
from flows.grid.display import TerminalProgress
from flows.grid.lock_file import repair
from flows.grid.queue import Jobs, require_good, run_grid
from stages.operate.summary import first_answer
from stages.runtime import machine, params
from tsn.records import RecordError

# Of a training on a CPU, with two readers: above what docs/performance.md measured (Memory).
BASE_BYTES = 1_100_000_000
BYTES_A_PIXEL = 2_000  # of the snippets that the network takes at once: EfficientNet-Lite0
BYTES_A_PIXEL_OF = {"bn_inception": 1_400}


@contextmanager
def mended(workspace: Path) -> Iterator[None]:
    """Have a workspace to oneself, with what a kill has torn put right.

    ProgramError where another run is active in it.
    """
    with only_run(workspace):
        repair(workspace)
        wait_for_others(workspace)
        yield


def run_chain(workspace: Path, targets: Sequence[str], *, jobs: int | None = None) -> None:
    """Run what is not up to date, of the targets or of everything, with so many trainings at once.

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


def choose_jobs(workspace: Path, jobs: int | None, cpu_jobs: int | None = None) -> Jobs:
    """Return the jobs asked for, or a heavy one per GPU or share of cores, and others per core.

    Where there are GPUs, frames are extracted beside the heavy jobs.
    """
    settings = params.load(workspace / params.PARAMS)
    section = params.section(settings, "machine", machine.Machine)
    slots = machine.count_slots(section)
    if jobs is None:
        largest = largest_training(workspace, settings)
        jobs = machine.count_jobs(section, slots=slots, process_bytes=largest)
    light = machine.count_cores() if cpu_jobs is None else cpu_jobs
    return Jobs(heavy=jobs, light=light, frames=min(slots, 1))


def largest_training(workspace: Path, settings: params.Settings) -> int:
    """Return how many bytes a process of the largest active training is taken to hold on a CPU.

    What is wrong with params.yaml or a recipe is for the stages to say that check them: it counts
    as a small one.
    """
    found = [BASE_BYTES]
    with suppress(RecordError):
        for dataset in params.active_datasets(settings):
            with suppress(RecordError):
                recipe = params.load(workspace / params.recipe_path(dataset))
                for modality in params.section(settings, "modalities", tuple[str, ...]):
                    found.append(training_bytes(recipe, modality))
    return max(found)


def training_bytes(recipe: params.Settings, modality: str) -> int:
    """Return how many bytes a process of a training is taken to hold on a CPU, with two readers.

    A few values are read and not the whole section, as a backbone of timm would load PyTorch.
    RecordError where one is missing.
    """
    read = partial(params.section, recipe)
    snippets = read(f"train.{modality}.solver.micro_batch", int)
    snippets *= read(f"train.{modality}.network.num_segments", int)
    pixels = snippets * read(f"train.{modality}.input_size", int) ** 2
    backbone = read(f"train.{modality}.network.backbone", str)
    return BASE_BYTES + pixels * BYTES_A_PIXEL_OF.get(backbone, BYTES_A_PIXEL)


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
