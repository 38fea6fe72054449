"""How many cells run at once on this machine: by its GPUs, cores and memory, and by the recipes."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from flows.grid.queue import Jobs
from stages.runtime import gpu_slots, machine, params
from stages.runtime.machine import Machine
from tsn.model.backbones import BACKBONES
from tsn.model.timm_backbones import PIXEL_BYTES, WEIGHTS
from tsn.records import RecordError

BYTES_OF_A_CELL = 1_500_000_000  # of a heavy one that is no training
# Of a training on a CPU, its readers apart: above what docs/performance.md measured (Memory).
BASE_BYTES = 1_350_000_000
BYTES_A_WEIGHT = 16  # weight, gradient, momentum, and a copy for the checkpoint


def choose_jobs(
    workspace: Path, jobs: int | None, cpu_jobs: int | None = None, *, elsewhere: bool = False
) -> Jobs:
    """Return the jobs asked for, or a heavy one per GPU or share of cores, and others per core.

    elsewhere: the cells run on other machines, so neither this one's memory nor its GPUs say what
    may run beside what.
    """
    settings = params.load(workspace / params.PARAMS)
    section = params.section(settings, "machine", Machine)
    slots, training_runs = count_slots(section), None
    if jobs is None:
        count = partial(count_jobs, section, slots=slots)
        jobs = count(process_bytes=BYTES_OF_A_CELL)
        if not slots and not elsewhere:
            training_runs = count(process_bytes=largest_training(workspace, settings))
    return Jobs(
        heavy=jobs,
        light=machine.count_cores() if cpu_jobs is None else cpu_jobs,
        training_runs=training_runs,
        frames_beside=bool(slots) and not elsewhere,
    )


def count_slots(section: Machine) -> int:
    """Return how many processes can have a GPU at once; 0: they use the CPU."""
    if section.device == "cpu" or not machine.has_nvidia_driver():
        return 0
    return len(gpu_slots.find_slots())


def count_jobs(section: Machine, *, slots: int, process_bytes: int) -> int:
    """Return how many cells this machine takes at once, each of the section's `processes`.

    A process takes one of the GPU `slots`; where there are none, as many cores as it has threads,
    and `process_bytes` of memory. At least 1.
    """
    if slots:
        return max(1, slots // section.processes)
    by_cores = machine.count_cores() // (section.threads * section.processes)
    by_memory = count_memory() // (process_bytes * section.processes)
    return max(1, min(by_cores, by_memory))


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
    """Return how many bytes a process of a training is taken to hold on a CPU, its readers apart.

    A few values are read and not the whole section, as a backbone of timm would load PyTorch: what
    one holds is taken for EfficientNet-Lite0's. RecordError where a value is missing.
    """
    read = partial(params.section, recipe)
    snippets = read(f"train.{modality}.solver.micro_batch", int)
    snippets *= read(f"train.{modality}.network.num_segments", int)
    pixels = snippets * read(f"train.{modality}.input_size", int) ** 2
    backbone = read(f"train.{modality}.network.backbone", str)
    row = BACKBONES.get(backbone)
    weights, pixel_bytes = (row.weights, row.pixel_bytes) if row else (WEIGHTS, PIXEL_BYTES)
    return BASE_BYTES + BYTES_A_WEIGHT * weights + pixel_bytes * pixels


def count_memory(root: Path = Path("/")) -> int:
    """Return how many bytes of memory the machine has, or less if a control group has a limit."""
    return min([int(psutil.virtual_memory().total), *_memory_limits(root)])


def _memory_limits(root: Path) -> Iterator[int]:
    """Yield the limits of this process's control groups (version 1 or 2), and of those above.

    In a container the folders below the top one may be missing: its own limit is at the top.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controller, group = line.split(":", 2)
            if controller not in ("", "memory"):
                continue
            folder = root / "sys/fs/cgroup" / controller / group.lstrip("/")
            for place in (folder, *folder.parents):
                for name in ("memory.max", "memory.limit_in_bytes"):
                    with suppress(OSError, ValueError):  # no such file; "max"
                        yield int((place / name).read_text(encoding="utf-8"))
