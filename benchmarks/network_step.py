"""Images per second that a network trains on and scores on the CPU, and what kept memory is worth.

    python benchmarks/network_step.py [--backbone timm:tf_efficientnet_lite0] [--input-size 160]

A stage lets the C library keep what a step frees (`stages.runtime.machine.choose_device`). The same
steps are measured in a process that does, and in one that gives the memory back to the kernel. The
last line is JSON.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from stages.runtime import machine
from tsn.model.network import build_network
from tsn.model.settings import NetworkConfig

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
            training, scoring, memory = pool.apply(measure, (arguments, kept))
        print(f"{name}: {training:.1f} images/s trained, {scoring:.1f} scored, {memory} MB")
        result |= {f"train_{name}": round(training, 1), f"score_{name}": round(scoring, 1)}
    for work in ("train", "score"):
        result[f"{work}_speedup"] = round(result[f"{work}_kept"] / result[f"{work}_returned"], 2)
    print(json.dumps(result))


def measure(arguments: argparse.Namespace, kept: bool) -> tuple[float, float, int]:
    """Return images per second of training steps and of scoring, and the peak memory in MB."""
    if not kept:
        machine._keep_freed_memory = lambda: None
    machine.choose_device(
        machine.Machine(
            device="cpu",
            processes=1,
            threads=arguments.threads,
            workers=0,
            checkpoint_seconds=60,
        )
    )
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
        with torch.inference_mode():
            network.snippet_scores(images)

    training = rate(train, arguments.images)
    network.eval()
    scoring = rate(score, arguments.images)
    return training, scoring, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


def rate(work: Callable[[], None], images: int) -> float:
    """Return images per second of the fastest of five runs, after one that counts for nothing."""
    work()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return images / min(seconds)


if __name__ == "__main__":
    main()
