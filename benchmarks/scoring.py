"""Scoring a video, over the network's forward passes on crops in memory.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --network bn_inception --size 224 --modality rgb --snippets 25
    python benchmarks/scoring.py --network bn_inception --size 224 --modality rgb --snippets 25 \\
        --batch 250 --workers 14                                              # on a GPU

Without options it is flow of the recipe `synthetic`. The videos' archives are made in a temporary
folder. Measured in turn: the pipeline with one crop, the pipeline with ten crops, and the forward
passes of one crop, each from its first video to its last, without its start. The last line is JSON:
`scoring_over_forward` (one crop's pipeline over its forward passes), `ten_crops_over_one_forward`,
and `videos_per_s` with ten crops.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from made_streams import make_clips
from network_options import lend_device, make_network, make_parser, parse

from tsn.modality import modality
from tsn.model.network import TemporalSegmentNetwork, computing_in
from tsn.scoring.score import ScoringConfig, ScoringProtocol, score_videos
from tsn.snippets.dataset import ScoringSnippets, cut_views
from tsn.snippets.normalise import normalise

ROUNDS = 5


def main() -> None:
    """Measure, print a line for each, then the JSON line."""
    parser = make_parser(__doc__)
    parser.add_argument("--snippets", type=int, default=6, help="of a video")
    parser.add_argument("--batch", type=int, default=100, help="crops at a time")
    arguments = parse(parser)
    device, row = lend_device(arguments), modality(arguments.modality)
    network, _ = make_network(arguments, device)
    network.eval()
    with tempfile.TemporaryDirectory() as folder:
        size = arguments.frame_width, arguments.frame_height
        clips = make_clips(Path(folder), row, arguments.videos, 60, *size)
        dataset = ScoringSnippets(clips, row, snippets=arguments.snippets)
        took = compare(network, dataset, arguments, device)
    for name, value in took.items():
        print(f"{name:18} {1000 * value:8.1f} ms a video")
    figures = {
        "scoring_over_forward": took["one crop"] / took["forward"],
        "ten_crops_over_one_forward": took["ten crops"] / took["forward"],
        "videos_per_s": 1 / took["ten crops"],
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def compare(
    network: TemporalSegmentNetwork,
    dataset: ScoringSnippets,
    arguments: argparse.Namespace,
    device: torch.device,
) -> dict[str, float]:
    """Return the seconds a video takes each way: medians of rounds in which all take turns."""

    def pipeline(crops: str) -> Iterator[None]:
        config = ScoringConfig(snippets=arguments.snippets, crops=crops, batch=arguments.batch)
        protocol = ScoringProtocol(
            config=config, size=arguments.size, precision=arguments.precision
        )
        workers = arguments.workers
        for _ in score_videos(network, dataset, protocol, device=device, workers=workers):
            yield

    centre = ScoringConfig(snippets=arguments.snippets, crops="centre", batch=arguments.batch)
    at_once = ScoringProtocol(config=centre, size=arguments.size).crops_at_once(device)
    views = cut_views(dataset[0].to(device), "centre", arguments.size, dataset.modality)
    inputs = normalise(views.flatten(0, 1), dataset.modality, network.row.inputs)

    @torch.inference_mode()
    def forward() -> Iterator[None]:
        for _ in range(len(dataset)):
            with computing_in(arguments.precision, device):
                scores = [network.snippet_scores(part) for part in torch.split(inputs, at_once)]
            torch.cat(scores).cpu()
            yield

    ways = {
        "one crop": lambda: pipeline("centre"),
        "ten crops": lambda: pipeline("ten_crop"),
        "forward": forward,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, run in ways.items():
            took = seconds_a_video(run())
            if number:  # the first warms up
                times[name].append(took)
    return {name: statistics.median(rows) for name, rows in times.items()}


def seconds_a_video(scored: Iterator[None]) -> float:
    """Return the seconds between two videos, from the first to the last: the start is left out.

    A round starts its readers anew, which a scoring of hundreds of videos does once.
    """
    next(scored)
    start = time.perf_counter()
    rest = sum(1 for _ in scored)
    return (time.perf_counter() - start) / rest


if __name__ == "__main__":
    main()
