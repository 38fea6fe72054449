"""train: one network, for one split and modality of a dataset. Resumes where it was killed."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import pandas as pd
import torch

from stages import command, params, provenance, tracking
from stages.machine import Machine, choose_device
from stages.training_run import LOG_COLUMNS, Training, complete
from tsn.archives import MANIFEST
from tsn.checkpoint import (
    INIT_SIDECAR,
    INIT_WEIGHTS,
    SIDECAR,
    ModelCard,
    load_initial,
    save_model,
)
from tsn.modality import Modality, modality
from tsn.network import TemporalSegmentNetwork, build_network, load_initial_weights
from tsn.pictures import input_sheet
from tsn.snippets import TrainingSnippets, listed_clips
from tsn.solver import micro_batches
from tsn.splits import read_classes, read_list
from tsn.training import TrainingConfig, network_optimizer, train

PICTURED_VIDEOS = 6


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.train.{args.modality}"
    content = params.load()
    config = params.section(content, section, TrainingConfig)
    machine = params.section(content, "machine", Machine)
    inputs = [args.classes, args.list, args.stream, args.init]
    with provenance.unchanged(section, inputs):
        row = modality(args.modality)
        classes = read_classes(args.classes)
        clips, dropped = listed_clips(read_list(args.list), args.stream, row)
        for video, reason in dropped.items():
            print(f"left out {video}: {reason}")
        snippets = TrainingSnippets(
            clips,
            row,
            num_segments=config.network.num_segments,
            input_size=config.input_size,
            augmentation=config.augmentation,
            seed=config.seed,
        )
        network = initial_network(config, row, len(classes), args.init)
        files = [args.classes, args.list, args.stream / MANIFEST]
        initial = (args.init / INIT_SIDECAR, args.init / INIT_WEIGHTS)
        files += [path for path in initial if path.is_file()]
        cell = {"dataset": args.dataset, "split": args.split, "modality": args.modality}
        card = ModelCard(
            **cell,
            classes=classes,
            input_size=config.input_size,
            network=config.network,
            iterations=config.solver.iterations,
            fingerprint=provenance.fingerprint(cell, config, files),
        )
        training = train_cell(args.out, args.log, network, snippets, config, card, machine)
    training.forget()


def initial_network(
    config: TrainingConfig, row: Modality, num_classes: int, init: Path
) -> TemporalSegmentNetwork:
    """A new network that starts from the dataset's initial weights, if it has any."""
    network = build_network(
        config.network,
        in_channels=row.channels,
        num_classes=num_classes,
        generator=torch.Generator().manual_seed(config.seed),
    )
    weights = load_initial(init, config.network.backbone)
    if weights is not None:
        load_initial_weights(network, weights, cross_modality=row.cross_modality)
    return network


def train_cell(
    out: Path,
    log_path: Path,
    network: TemporalSegmentNetwork,
    snippets: TrainingSnippets,
    config: TrainingConfig,
    card: ModelCard,
    machine: Machine,
) -> Training:
    """Trains to the end, logs the run, and writes the model folder and the log."""
    device = choose_device(machine)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = network_optimizer(network, snippets.modality, config)
    iterations = config.solver.iterations
    training = Training(network, optimizer, card.fingerprint, iterations, machine)
    with tracking.run(
        dataset=card.dataset,
        name=f"split{card.split} {card.modality}",
        key={"stage": "cell", "fingerprint": card.fingerprint},
        params={"train": asdict(config), "train_videos": len(snippets.clips)},
        tags=cell_tags(card),
    ) as run:
        log = complete(
            training,
            lambda start: train(
                network,
                optimizer,
                snippets,
                config,
                device=device,
                workers=machine.workers,
                start=start,
            ),
            run,
            text=f"train {card.dataset} split {card.split} {card.modality}",
        )
        save_model(network, card, out)
        write_log(log, log_path)
        picture(snippets, config, out / "inputs.png")
        videos = provenance.digest([clip.video for clip in snippets.clips])
        run.log_dataset(f"{card.dataset} split{card.split} train", videos, "training")
        for path in (log_path, out / "inputs.png", out / SIDECAR):
            run.log_artifact(path)
        if link := run.link():
            print(f"MLflow: {link}")
    return training


def cell_tags(card: ModelCard) -> dict[str, str]:
    """What an MLflow run is filtered and grouped by."""
    return {"dataset": card.dataset, "split": str(card.split), "modality": card.modality}


def write_log(log: Sequence[dict[str, float]], path: Path) -> None:
    """The training log: a row per iteration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(log, columns=list(LOG_COLUMNS)).to_csv(path, index=False)


def picture(snippets: TrainingSnippets, config: TrainingConfig, path: Path) -> None:
    """The network's inputs for the first batch, the paper's Figure 2."""
    batches = micro_batches(snippets, config.solver, device=torch.device("cpu"), workers=0, start=0)
    videos, _ = next(batches)
    scale = max(1, 112 // config.input_size)
    sheet = input_sheet(videos[:PICTURED_VIDEOS], snippets.modality, scale)
    if not cv2.imwrite(str(path), sheet):
        raise OSError(f"{path}: could not be written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--split", required=True, type=int, help="1, 2 or 3")
    parser.add_argument("--modality", required=True, help="rgb, rgb_diff, flow or warped_flow")
    parser.add_argument("--classes", required=True, type=Path, help="class names in label order")
    parser.add_argument("--list", required=True, type=Path, help="training list of the split")
    parser.add_argument("--stream", required=True, type=Path, help="extracted stream to read")
    parser.add_argument("--init", required=True, type=Path, help="initial weights of the dataset")
    parser.add_argument("--out", required=True, type=Path, help="out: weights and sidecar")
    parser.add_argument("--log", required=True, type=Path, help="out: a row per iteration")
    command.run(parser, main)
