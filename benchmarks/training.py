"""Training iterations with the loader, over the same steps on data in memory.

    python benchmarks/training.py
    python benchmarks/training.py --network bn_inception --size 224 --modality rgb --partial-bn
    python benchmarks/training.py --network bn_inception --size 224 --modality rgb --partial-bn \\
        --batch 128 --micro-batch 128 --workers 14             # on a GPU

Without options it is flow of the recipe `synthetic`. The videos' archives are made in a temporary
folder. A round is some iterations as the stage `train` does them, then as many bare ones: forward,
backward and step on batches that lie on the device. The last line is JSON: `step_over_bare`,
`snippets_per_s`, and on a GPU `share_of_device_rate`, which is the one over the other.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import torch
from made_streams import make_clips
from network_options import largest_process, lend_device, make_network, make_parser, parse
from torch import Tensor

from tsn.modality import modality
from tsn.model.settings import LearningRateMultipliers
from tsn.snippets.crops import Augmentation
from tsn.snippets.dataset import TrainingSnippets
from tsn.training.profile import run_steps
from tsn.training.settings import SolverConfig, TrainingConfig
from tsn.training.solver import Training, solve
from tsn.training.start import network_training

ROUNDS = 5


def main() -> None:
    """Measure, print a line for each round, then the JSON line."""
    arguments = parse(training_parser())
    device = lend_device(arguments)
    with tempfile.TemporaryDirectory() as folder:
        row = modality(arguments.modality)
        size = arguments.frame_width, arguments.frame_height
        clips = make_clips(Path(folder), row, arguments.videos, 60, *size)
        training = make_training(arguments, clips, device)
        ours, bare = rounds(training, arguments.iterations)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    images = arguments.batch * arguments.segments
    print(
        f"{device}, {arguments.precision}: {images / statistics.median(bare):.0f} snippets/s bare"
    )
    figures = {"step_over_bare": ratio, "snippets_per_s": images / statistics.median(ours)}
    if device.type == "cuda":
        figures["share_of_device_rate"] = 1 / ratio
        print(f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB of the GPU's memory")
    print(largest_process())
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def rounds(training: Training, iterations: int) -> tuple[list[float], list[float]]:
    """Return seconds an iteration: with the loader, and bare, for each round."""
    loaded = training.launch(0)
    kept = list(islice(batches(training), 4))
    bare = solve(
        training.network,
        training.optimizer,
        cycle(kept),
        training.solver,
        seed=1,
        start=0,
        precision=training.precision,
    )
    for steps in (loaded, bare):  # starts the workers, compiles
        run_steps(steps, max(3, iterations // 4), training)
    full = 2 * training.workers // training.solver.parts + 1  # what the readers have read ahead
    taken: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        run_steps(loaded, full, training)  # while the bare steps ran
        ours, alone = (run_steps(steps, iterations, training) for steps in (loaded, bare))
        taken.append((ours / iterations, alone / iterations))
        print(
            f"round {number + 1}: {1000 * taken[-1][0]:.1f} ms, bare {1000 * taken[-1][1]:.1f} ms"
        )
    first, second = zip(*taken, strict=True)
    return list(first), list(second)


def batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs of the network as they are on the device."""
    size = training.solver.micro_batch
    for number in range(4):
        items = [training.stream[number * size + index] for index in range(size)]
        x = torch.stack([item[0] for item in items]).to(training.device)
        labels = torch.tensor([item[1] for item in items], device=training.device)
        yield training.normalise(x), labels


def make_training(arguments: argparse.Namespace, clips: list, device: torch.device) -> Training:
    """Return a training as the stage prepares it."""
    network, network_config = make_network(
        arguments, device, segments=arguments.segments, partial_bn=arguments.partial_bn
    )
    config = TrainingConfig(
        seed=1,
        input_size=arguments.size,
        initialisation="copied",
        network=network_config,
        augmentation=Augmentation(crop_scales=(1.0, 0.875, 0.75), crop_positions=13, mirror=True),
        solver=SolverConfig(
            iterations=1_000_000,
            batch_size=arguments.batch,
            micro_batch=arguments.micro_batch or arguments.batch,
            base_lr=1e-5,
            lr_steps=(),
            lr_factor=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            clip_norm=40.0,
        ),
        lr_multipliers=LearningRateMultipliers(
            bias=2.0, first_conv_weight=1.0, first_conv_bias=2.0
        ),
    )
    snippets = TrainingSnippets(
        clips,
        modality(arguments.modality),
        num_segments=arguments.segments,
        input_size=arguments.size,
        augmentation=config.augmentation,
        seed=1,
    )
    if arguments.compile:
        network.compile()
    return network_training(
        network,
        snippets,
        config,
        device=device,
        workers=arguments.workers,
        precision=arguments.precision,
    )


def training_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--segments", type=int, default=3)
    add("--batch", type=int, default=16, help="videos of an iteration")
    add("--micro-batch", type=int, help="videos at a time (default: all)")
    add("--partial-bn", action="store_true", help="freeze all batch normalisations but the first")
    add("--compile", action="store_true", help="torch.compile the network")
    add("--iterations", type=int, default=20, help="of a round")
    return parser


if __name__ == "__main__":
    main()
