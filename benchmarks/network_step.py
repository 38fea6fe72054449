"""Images per second that a network trains on and scores on the CPU, and what kept memory is worth.

    python benchmarks/network_step.py [--backbone timm:tf_efficientnet_lite0] [--input-size 160]

A stage lets the C library keep what a step frees (`stages.runtime.machine.choose_device`). The same
steps are measured in a process that does, and in one that gives the memory back to the kernel. The
last line is JSON.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from stages.runtime.machine import Machine, choose_device
from tsn.model.network import NetworkConfig, build_network

CLASSES = 10


def main() -> None:
    """Measure in a new process each, print a line for each, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="timm:tf_efficientnet_lite0")
    parser.add_argument("--input-size", type=int, default=160, help="pixels (default 160)")
    parser.add_argument("--images", type=int, default=48, help="of a step (default 48)")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU (default 2)")
    arguments = parser.parse_args()
    result: dict[str, float] = {}
    for name, kept in {"returned": False, "kept": True}.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            training, testing = pool.apply(measure, (arguments, kept))
        print(f"memory {name}: {training:.1f} images/s trained, {testing:.1f} scored")
        result |= {f"train_{name}": round(training, 1), f"score_{name}": round(testing, 1)}
    for work in ("train", "score"):
        result[f"{work}_speedup"] = round(result[f"{work}_kept"] / result[f"{work}_returned"], 2)
    print(json.dumps(result))


def measure(arguments: argparse.Namespace, kept: bool) -> tuple[float, float]:
    """Return images per second of training steps and of scoring, the fastest of five each."""
    if kept:
        choose_device(
            Machine(
                device="cpu",
                processes=1,
                threads=arguments.threads,
                workers=0,
                checkpoint_seconds=60,
            )
        )
    torch.set_num_threads(arguments.threads)
    config = NetworkConfig(
        backbone=arguments.backbone,
        consensus="average",
        num_segments=1,
        dropout=0.5,
        partial_bn=True,
        bn_momentum=0.1,
    )
    network = build_network(
        config, in_channels=3, num_classes=CLASSES, generator=torch.Generator().manual_seed(1)
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = (arguments.images, 3, arguments.input_size, arguments.input_size)
    images = torch.randn(size).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(arguments.images) % CLASSES

    def train() -> None:
        functional.cross_entropy(network.snippet_scores(images), labels).backward()

    def score() -> None:
        with torch.no_grad():
            network.snippet_scores(images)

    return rate(train, arguments.images), rate(score, arguments.images)


def rate(work: Callable[[], None], images: int) -> float:
    """Return images per second of the fastest of five runs."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return images / min(seconds)


if __name__ == "__main__":
    main()
