"""Scoring a video, over the network's forward passes on crops in memory.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --network bn_inception --size 224 --modality rgb --snippets 25
    python benchmarks/scoring.py --network bn_inception --size 224 --modality rgb --snippets 25 \\
        --batch 250 --workers 14                                              # on a GPU

Without options it is flow of the recipe `synthetic`. The videos' archives are made in a temporary
folder: let --videos be several times as many as go through the network together. Measured in turn:
the pipeline with one crop, the pipeline with ten crops, and the forward passes of one crop, with as
many crops at once; each without its start. The last line is JSON: `scoring_over_forward` (one
crop's pipeline over its forward passes), `ten_crops_over_one_forward`, and `videos_per_s` with ten
crops.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from made_streams import make_clips
from network_options import largest_process, lend_device, make_network, make_parser, parse

from tsn.modality import modality
from tsn.model.network import TemporalSegmentNetwork, computing_in
from tsn.scoring.score import ScoringProtocol, score_videos
from tsn.scoring.settings import ScoringConfig
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
    print(largest_process())
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def compare(
    network: TemporalSegmentNetwork,
    dataset: ScoringSnippets,
    arguments: argparse.Namespace,
    device: torch.device,
) -> dict[str, float]:
    """Return the seconds a video takes each way: medians of rounds in which all take turns.

    A round scores all videos, then half of them, and takes the difference. So what a scoring of
    hundreds of videos does once is left out: the readers' start, and the first batch's way.
    """

    def protocol(crops: str) -> ScoringProtocol:
        config = ScoringConfig(snippets=arguments.snippets, crops=crops, batch=arguments.batch)
        return ScoringProtocol(config=config, size=arguments.size, precision=arguments.precision)

    def pipeline(crops: str, videos: int) -> None:
        some = ScoringSnippets(dataset.clips[:videos], row, snippets=dataset.snippets)
        workers = arguments.workers
        list(score_videos(network, some, protocol(crops), device=device, workers=workers))

    row = dataset.modality
    views = cut_views(dataset[0].to(device), "centre", arguments.size, row)
    inputs = normalise(views.flatten(0, 1), row, network.row.inputs)
    at_once = protocol("centre").crops_at_once(device)
    whole = inputs.repeat(-(-at_once // len(inputs)), 1, 1, 1)[:at_once]

    @torch.inference_mode()
    def forward(videos: int) -> None:
        batches, rest = divmod(videos * len(inputs), at_once)
        with computing_in(arguments.precision, device):
            for part in [whole] * batches + [whole[:rest]] * bool(rest):
                scores = network.snippet_scores(part)
        scores.cpu()

    ways = {
        "one crop": partial(pipeline, "centre"),
        "ten crops": partial(pipeline, "ten_crop"),
        "forward": forward,
    }
    half = len(dataset) // 2
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, run in ways.items():
            took = seconds(run, len(dataset)) - seconds(run, half)
            if number:  # the first warms up
                times[name].append(took / (len(dataset) - half))
    return {name: statistics.median(rows) for name, rows in times.items()}


def seconds(run: Callable[[int], None], videos: int) -> float:
    """Return the seconds that a way takes for so many videos."""
    start = time.perf_counter()
    run(videos)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
