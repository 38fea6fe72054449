"""What recognising a video file takes, from a cold start and warm.

    python benchmarks/recognising.py
    python benchmarks/recognising.py --recipe ucf101_paper --rounds 3

The recogniser is one of untrained networks, as the recipe makes them; ucf101_four has
EfficientNet-Lite0, ucf101_paper BN-Inception. The clip is made: 10 s of 25 frames of 320x240 a
second. Cold is the command `tsn recognise` from its start to its end; warm is a video of a loaded
recogniser, the median of the rounds. Both with 25 snippets and one crop, by RGB alone and by all
modalities. The last line is JSON: seconds, the CPU's seconds of the cold command, which say more
on a busy machine, and the load of the machine before.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_streams import make_entries, write_video

from stages.runtime import params
from stages.runtime.machine import choose_device, this_machine
from tsn.modality import MODALITIES, modality
from tsn.model.checkpoint import ModelCard, save_model
from tsn.model.network import build_network
from tsn.recogniser.card import ReferenceScores
from tsn.recogniser.folder import save_recogniser
from tsn.recogniser.recogniser import load_recogniser
from tsn.scoring.settings import ScoringConfig
from tsn.streams.table import STREAMS
from tsn.training.settings import TrainingConfig

CLASSES = tuple(f"class {number}" for number in range(101))
TESTING = ScoringConfig(snippets=25, crops="centre", batch=100)
SECONDS, RATE, WIDTH, HEIGHT = 10, 25, 320, 240


def main() -> None:
    """Measure, print a line for each, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="ucf101_four", help="whose networks and streams")
    parser.add_argument("--rounds", type=int, default=5, help="of each warm figure")
    parser.add_argument("--device", help="cpu, cuda or auto")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"recipe": arguments.recipe, "load": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as name:
        folder, clip = Path(name) / "recogniser", Path(name) / "clip.avi"
        make_recogniser(folder, params.load_recipe(arguments.recipe))
        write_video(clip, make_entries("frames", SECONDS * RATE, WIDTH, HEIGHT, seed=1))
        for title, modalities in {"rgb": ("rgb",), "all": tuple(MODALITIES)}.items():
            took = cold(folder, clip, modalities, arguments.device)
            figures[f"{title}_cold_s"], figures[f"{title}_cold_cpu_s"] = took
            figures[f"{title}_warm_s"] = warm(folder, clip, modalities, arguments)
            for state in ("cold", "warm"):
                print(f"{title:4} {state}  {figures[f'{title}_{state}_s']:6.2f} s", flush=True)
    print(json.dumps(figures))


def make_recogniser(folder: Path, recipe: params.Settings) -> None:
    """Write a recogniser of untrained networks, with the streams of a recipe."""
    models = {}
    for name in MODALITIES:
        config = params.section(recipe, f"train.{name}", TrainingConfig)
        network = build_network(
            config.network,
            in_channels=modality(name).channels,
            num_classes=len(CLASSES),
            generator=torch.Generator().manual_seed(1),
        )
        card = ModelCard(
            dataset="made",
            split=1,
            modality=name,
            classes=CLASSES,
            input_size=config.input_size,
            network=config.network,
            iterations=0,
            fingerprint=name,
        )
        models[name] = folder.with_name("models") / name
        save_model(network, card, models[name])
    classes = {name: STREAMS[modality(name).stream].config_class for name in MODALITIES}
    save_recogniser(
        folder,
        models=models,
        combination="all",
        weights=dict.fromkeys(MODALITIES, 1.0),
        streams={
            name: params.section(recipe, f"extract.{name}", cls) for name, cls in classes.items()
        },
        testing=TESTING,
        tests=ReferenceScores(
            classes=CLASSES,
            videos=(),
            sha256=(),
            labels=np.empty(0, np.int64),
            scores=np.empty((0, len(CLASSES)), np.float32),
        ),
        trained_on=(),
    )


def cold(
    folder: Path, clip: Path, modalities: tuple[str, ...], device: str | None
) -> tuple[float, float]:
    """Return the seconds of the command, with all that a new process loads, and the CPU's."""
    words = ["recognise", str(clip), "--model", str(folder), "--modalities", ",".join(modalities)]
    if device:
        words += ["--device", device]
    began, cpu = time.perf_counter(), children_seconds()
    subprocess.run([sys.executable, "-m", "flows.cli", *words], check=True, capture_output=True)
    return round(time.perf_counter() - began, 2), round(children_seconds() - cpu, 2)


def children_seconds() -> float:
    """Return the CPU's seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def warm(
    folder: Path, clip: Path, modalities: tuple[str, ...], arguments: argparse.Namespace
) -> float:
    """Return the median of the seconds that a loaded recogniser takes."""
    device = choose_device(this_machine(arguments.device))
    recogniser = load_recogniser(folder, device, modalities=modalities)
    recogniser.warm_up()
    times = []
    for _ in range(arguments.rounds):
        began = time.perf_counter()
        recogniser.score(clip)
        times.append(time.perf_counter() - began)
    return round(statistics.median(times), 2)


if __name__ == "__main__":
    main()
