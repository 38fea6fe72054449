"""Where the time of a training iteration goes, by PyTorch's profiler, and what reading takes."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from tsn.training.solver import LOAD, PARTS, Step, Training, read_late

WARM_UP = 3  # iterations before anything is measured: readers start, memory is taken
VIDEOS_READ = 16


@dataclass(frozen=True, kw_only=True)
class PartTime:
    """Seconds of an iteration that a part takes: of the process that trains, and of its GPU."""

    process: float
    gpu: float


@dataclass(frozen=True, kw_only=True)
class TrainingProfile:
    """What an iteration takes, in seconds.

    iteration: without the profiler; parts: by name, as `tsn.training.solver.PARTS`, and with it;
    read: one video, in one process that does nothing else; videos: of an iteration, in this process
    of the training; readers: processes that read.
    """

    iteration: float
    parts: Mapping[str, PartTime]
    read: float
    videos: int
    readers: int

    @property
    def waiting(self) -> float:
        """Return the share of the parts' time in which the training waits for its readers."""
        return self.parts[LOAD].process / sum(part.process for part in self.parts.values())

    @property
    def trained_per_second(self) -> float:
        """Return how many videos a second are trained on."""
        return self.videos / self.iteration

    @property
    def read_per_second(self) -> float:
        """Return how many videos a second the readers could give, each on a core of its own."""
        return max(self.readers, 1) / self.read


def profile_training(
    training: Training,
    iterations: int,
    trace: Path,
    watch: Callable[[Iterable[Step]], Iterable[Step]] = iter,
) -> TrainingProfile:
    """Measure so many iterations from the first one, and as many again under the profiler.

    trace: where those are written for a viewer: https://ui.perfetto.dev or chrome://tracing;
    compressed if it is named .gz. watch: shows how far it is, as tqdm does.
    Raises ValueError for a solver that has fewer than twice as many, and three to warm up.
    """
    needed = count_iterations(iterations)
    if iterations < 1 or training.solver.iterations < needed:
        raise ValueError(
            f"{iterations} iterations: with as many under the profiler and {WARM_UP} to warm up "
            f"that is {needed}; the solver has {training.solver.iterations}"
        )
    read = _seconds_to_read(training)
    steps = iter(watch(training.launch(0)))
    run_steps(steps, WARM_UP, training)
    iteration = run_steps(steps, iterations, training) / iterations
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or it tells of machines without a GPU
    activities = [ProfilerActivity.CPU]
    if training.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        run_steps(steps, iterations, training)
    profiler.export_chrome_trace(str(trace))
    return TrainingProfile(
        iteration=iteration,
        parts=_times(profiler.events() or (), iterations),
        read=read,
        videos=training.solver.micro_batch
        * len(training.share.micro_batches(training.solver.parts)),
        readers=training.workers,
    )


def count_iterations(measured: int) -> int:
    """Return how many iterations `profile_training` runs."""
    return 2 * measured + WARM_UP


def _seconds_to_read(training: Training) -> float:
    start = time.perf_counter()
    for position in range(VIDEOS_READ):
        training.stream[position]
    return (time.perf_counter() - start) / VIDEOS_READ


def run_steps(steps: Iterator[Step], number: int, training: Training) -> float:
    """Return the seconds that so many steps take until the device has done them."""
    _synchronise(training.device)
    start = time.perf_counter()
    for _ in read_late(islice(steps, number), training.steps_ahead):
        pass
    _synchronise(training.device)
    return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _times(events: Iterable[FunctionEvent], iterations: int) -> dict[str, PartTime]:
    """Return what each part takes in an iteration.

    What a GPU does belongs to the part in whose time the process asked for it.
    """
    listed = list(events)
    ranges = [
        (event.time_range.start, event.time_range.end, event.name)
        for event in listed
        if event.name in PARTS and event.device_type.name == "CPU"
    ]
    process, gpu = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0.0)
    for start, end, name in ranges:
        process[name] += end - start
    for event in listed:
        if not event.kernels:
            continue
        asked = event.time_range.start
        part = next((name for start, end, name in ranges if start <= asked < end), None)
        if part is not None:
            gpu[part] += sum(kernel.duration for kernel in event.kernels)
    each = 1e6 * iterations  # microseconds
    return {name: PartTime(process=process[name] / each, gpu=gpu[name] / each) for name in PARTS}
