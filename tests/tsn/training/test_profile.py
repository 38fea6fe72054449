"""Where an iteration's time goes, of the smallest training; and whose work a GPU's is, by hand."""

import gzip
import json
from collections import namedtuple
from dataclasses import replace
from enum import Enum
from pathlib import Path

import pytest
import torch

from tsn.model.network import build_network
from tsn.snippets.dataset import TrainingSnippets
from tsn.training.profile import PartTime, TrainingProfile, _times, profile_training
from tsn.training.settings import TrainingConfig
from tsn.training.solver import FORWARD, LOAD, PARTS, Training
from tsn.training.start import network_training

Event = namedtuple("Event", "name time_range device_type kernels")
Range = namedtuple("Range", "start end")
Kernel = namedtuple("Kernel", "duration")
DeviceType = Enum("DeviceType", "CPU CUDA")


def make_training(snippets: TrainingSnippets, config: TrainingConfig, iterations: int) -> Training:
    network = build_network(
        config.network, in_channels=10, num_classes=3, generator=torch.Generator().manual_seed(1)
    )
    solver = replace(config.solver, iterations=iterations, lr_steps=())
    return network_training(
        network, snippets, replace(config, solver=solver), device=torch.device("cpu"), workers=0
    )


def test_every_part_of_an_iteration_is_seen_and_in_the_trace(
    tiny_snippets: TrainingSnippets, tiny_training: TrainingConfig, tmp_path: Path
) -> None:
    training = make_training(tiny_snippets, tiny_training, 1000)
    seen = []
    trace = tmp_path / "trace.json.gz"
    found = profile_training(training, 2, trace, lambda steps: (seen.append(s) or s for s in steps))
    assert tuple(found.parts) == PARTS and len(seen) == 3 + 2 + 2
    assert all(part.process > 0 and part.gpu == 0 for part in found.parts.values())
    assert found.videos == tiny_training.solver.batch_size and found.readers == 0
    assert 0 < found.waiting < 1 and found.read > 0
    with gzip.open(trace) as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert names.count(FORWARD) == 2 * tiny_training.solver.parts


def test_a_solver_of_few_iterations_is_refused(
    tiny_snippets: TrainingSnippets, tiny_training: TrainingConfig, tmp_path: Path
) -> None:
    training = make_training(tiny_snippets, tiny_training, 6)
    with pytest.raises(ValueError, match="that is 7; the solver has 6"):
        profile_training(training, 2, tmp_path / "trace.json")


def test_what_a_gpu_does_is_the_part_s_that_asked_for_it() -> None:
    """Of two iterations: whatever it does in the meantime, and whichever thread asked."""

    def event(name: str, start: float, end: float, *kernels: float) -> Event:
        return Event(name, Range(start, end), DeviceType.CPU, [Kernel(k) for k in kernels])

    events = [
        *(event(LOAD, 0, 100), event(FORWARD, 100, 140), event(FORWARD, 200, 260)),
        *(event("conv", 110, 120, 3e6, 1e6), event("conv", 210, 220, 4e6)),
        event("elsewhere", 150, 160, 9e9),
        Event(FORWARD, Range(100, 900), DeviceType.CUDA, []),
    ]
    times = _times(events, 2)  # type: ignore[arg-type]
    assert times[FORWARD] == PartTime(process=50e-6, gpu=4.0)
    assert times[LOAD] == PartTime(process=50e-6, gpu=0.0)


def test_rates_by_hand() -> None:
    parts = {name: PartTime(process=0.1, gpu=0.0) for name in PARTS}
    found = TrainingProfile(iteration=0.5, parts=parts, read=0.02, videos=16, readers=2)
    assert found.waiting == pytest.approx(0.2)
    assert (found.trained_per_second, found.read_per_second) == (32.0, 100.0)
