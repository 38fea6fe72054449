"""What the benchmarks of training and scoring share: their options, the device and the network."""

import argparse
import resource
import sys

import torch

from stages.runtime.machine import Machine, choose_device
from tsn.modality import modality
from tsn.model.network import TemporalSegmentNetwork, build_network
from tsn.model.settings import NetworkConfig

CLASSES = 10


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that both have; `parse` reads them."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--network", default="bn_inception_quarter", help="a backbone of the recipes")
    add("--modality", default="flow")
    add("--size", type=int, default=64, help="of the crops, in pixels")
    add("--frame-width", type=int, help="of what is stored (default: 340 / 256 of the height)")
    add("--frame-height", type=int, help="default: 8 / 7 of the crops, as 256 is of 224")
    add("--precision", default="auto", help="float32, bfloat16 or auto")
    add("--threads", type=int, default=1)
    add("--workers", type=int, default=2, help="processes that read")
    add("--videos", type=int, default=32, help="how many are made")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; frames are in proportion to the crops unless it says otherwise."""
    arguments = parser.parse_args()
    arguments.frame_height = arguments.frame_height or round(arguments.size * 8 / 7)
    arguments.frame_width = arguments.frame_width or round(arguments.frame_height * 340 / 256)
    return arguments


def lend_device(arguments: argparse.Namespace) -> torch.device:
    """Return the device, as a stage chooses it."""
    machine = Machine(
        device="auto",
        processes=1,
        threads=arguments.threads,
        workers=arguments.workers,
        checkpoint_seconds=60,
        precision=arguments.precision,
    )
    return choose_device(machine)


def make_network(
    arguments: argparse.Namespace,
    device: torch.device,
    *,
    segments: int = 1,
    partial_bn: bool = False,
) -> tuple[TemporalSegmentNetwork, NetworkConfig]:
    """Return the network of the options on the device, and what it is made by."""
    config = NetworkConfig(
        backbone=arguments.network,
        consensus="average",
        num_segments=segments,
        dropout=0.5,
        partial_bn=partial_bn,
        bn_momentum=0.1,
    )
    network = build_network(
        config,
        in_channels=modality(arguments.modality).channels,
        num_classes=CLASSES,
        generator=torch.Generator().manual_seed(1),
    )
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, config


def largest_process() -> str:
    """Return a line with the memory of the largest process so far: this one or a reader of it."""
    kibibytes = max(
        resource.getrusage(whose).ru_maxrss
        for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ) / (1024 if sys.platform == "darwin" else 1)
    return f"largest process: {kibibytes / 1024:.0f} MiB"
