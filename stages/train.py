"""train: one network, for one split and modality of a dataset. Resumes where it was killed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import pandas as pd
import torch

from stages.runtime import command, params, provenance, torchrun
from stages.runtime.machine import Machine, choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.runtime.training_run import LOG_COLUMNS, Training, accompany, complete, curves
from stages.tracking import runs as tracking
from tsn.drawing.input_sheet import input_sheet
from tsn.lists import read_list, read_names
from tsn.modality import Modality, modality
from tsn.model.checkpoint import (
    INIT_SIDECAR,
    INIT_WEIGHTS,
    SIDECAR,
    ModelCard,
    load_card,
    load_initial,
    save_model,
)
from tsn.model.network import TemporalSegmentNetwork, build_network, load_initial_weights
from tsn.snippets.dataset import Clip, TrainingSnippets, listed_clips
from tsn.streams.archives import MANIFEST
from tsn.training.data_parallel import Share
from tsn.training.solver import Iteration, micro_batches
from tsn.training.train import TrainingConfig, network_optimizer, train

PICTURED_VIDEOS = 6


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("train.{modality}",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    split: int = option("1, 2 or 3")
    modality: str = option("rgb, rgb_diff, flow or warped_flow")
    classes: Path = input_path("class names in label order")
    list: Path = input_path("training list of the split")
    stream: Path = input_path("extracted stream to read")
    init: Path = input_path("initial weights of the dataset")
    out: Path = output_path("weights and sidecar")
    log: Path = output_path("a row per iteration")


def main(options: Options) -> None:
    recipe = params.load_recipe(options.dataset)
    config = params.section(recipe, f"train.{options.modality}", TrainingConfig)
    machine = read_machine()
    text = f"train {options.dataset} split {options.split} {options.modality}"
    if not torchrun.is_under_torchrun():
        processes = torchrun.processes_of(machine, config.solver, text)
        if processes > 1:
            torchrun.launch("stages.train", processes, machine)
            return
    device = choose_device(machine)
    with torchrun.joined(device) as share:
        if share.rank:
            cell = prepare(options, config, machine, device, share)
            accompany(cell.training, cell.iterations)
            return
        with provenance.unchanged(options):
            cell = prepare(options, config, machine, device, share)
            numbers = recipe_params(recipe, options.modality)
            train_cell(cell, options.out, options.log, numbers, text)
        cell.training.forget()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A training that is ready to begin or to go on. dropped: quarantined videos and why."""

    card: ModelCard
    config: TrainingConfig
    snippets: TrainingSnippets
    dropped: Mapping[str, str]
    training: Training
    iterations: Callable[[int], Iterator[Iteration]]


def prepare(
    options: Options,
    config: TrainingConfig,
    machine: Machine,
    device: torch.device,
    share: Share,
) -> Cell:
    """The cell of the command line, its network on the device; the same in every process."""
    row = modality(options.modality)
    classes = read_names(options.classes)
    clips, dropped = listed_clips(read_list(options.list), options.stream, row)
    snippets = TrainingSnippets(
        clips,
        row,
        num_segments=config.network.num_segments,
        input_size=config.input_size,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    network = initial_network(config, row, len(classes), options.init)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = network_optimizer(network, row, config)
    card = model_card(options, config, classes)
    name = f"{card.dataset}-{card.split}-{card.modality}"

    def iterations(start: int) -> Iterator[Iteration]:
        return train(
            network,
            optimizer,
            snippets,
            config,
            device=device,
            workers=machine.workers,
            start=start,
            share=share,
        )

    return Cell(
        card=card,
        config=config,
        snippets=snippets,
        dropped=dropped,
        training=Training(
            network, optimizer, name, card.fingerprint, config.solver.iterations, machine
        ),
        iterations=iterations,
    )


def model_card(options: Options, config: TrainingConfig, classes: tuple[str, ...]) -> ModelCard:
    """The card of the model to be, with the fingerprint of all that it will be made of."""
    files = [options.classes, options.list, options.stream / MANIFEST]
    initial = (options.init / INIT_SIDECAR, options.init / INIT_WEIGHTS)
    files += [path for path in initial if path.is_file()]
    cell = {"dataset": options.dataset, "split": options.split, "modality": options.modality}
    return ModelCard(
        **cell,
        classes=classes,
        input_size=config.input_size,
        network=config.network,
        iterations=config.solver.iterations,
        fingerprint=provenance.fingerprint(cell, config, files),
    )


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
    cell: Cell, out: Path, log_path: Path, recipe: Mapping[str, object], text: str
) -> None:
    """Trains to the end, logs the run, and writes the model folder and the log."""
    for video, reason in cell.dropped.items():
        print(f"left out {video}: {reason}")
    with open_run(cell.card, recipe, cell.snippets.clips) as run:
        log = complete(cell.training, cell.iterations, run, text=text)
        save_model(cell.training.network, cell.card, out)
        write_log(log, log_path)
        picture(cell.snippets, cell.config, out / "inputs.png")
        log_files(run, out, log_path)
        if link := run.link():
            print(f"MLflow: {link}")


@contextmanager
def open_run(
    card: ModelCard, recipe: Mapping[str, object], clips: Sequence[Clip], *, restored: bool = False
) -> Iterator[tracking.Run]:
    """The cell's MLflow run, with what is known before the first iteration."""
    with tracking.run(
        part="train",
        dataset=card.dataset,
        name=f"split{card.split} {card.modality}",
        key=run_key(card),
        params={**recipe, "train_videos": len(clips)},
        tags={"dataset": card.dataset, "split": str(card.split), "modality": card.modality},
        restored=restored,
    ) as run:
        digest = provenance.digest([(clip.video, clip.key) for clip in clips])
        run.log_dataset(f"{card.dataset} split{card.split} train", digest, "training")
        yield run


def recipe_params(recipe: params.Settings, modality: str) -> dict[str, object]:
    """Return all that the recipe and params.yaml say about a cell, for the compare page."""
    sections = {
        "source": "source",
        "split": "split",
        "accept": "accept",
        "extract": f"extract.{modality}",
        "init": "init",
        "train": f"train.{modality}",
    }
    machine = params.load()
    return {name: params.find(recipe, dotted) for name, dotted in sections.items()} | {
        f"machine.{name}": params.find(machine, f"machine.{name}")
        for name in ("device", "processes", "threads")
    }


def run_key(card: ModelCard) -> dict[str, str]:
    """What the cell's run is found by."""
    return {"stage": "cell", "fingerprint": card.fingerprint}


def log_files(run: tracking.Run, out: Path, log_path: Path) -> None:
    """Adds the files of a finished training."""
    for path in (log_path, out / "inputs.png", out / SIDECAR):
        run.log_artifact(path)


def track(options: Options) -> bool:
    """Logs a finished training from its files; False when its run is there already."""
    card = load_card(options.out)
    if tracking.is_logged(card.dataset, run_key(card), "train"):
        return False
    section = f"train.{options.modality}"  # all that is known to be unchanged
    recipe = {"train": params.find(params.load_recipe(options.dataset), section)}
    clips, _ = listed_clips(read_list(options.list), options.stream, modality(options.modality))
    table = pd.read_csv(options.log, float_precision="round_trip")
    log = [dict(zip(LOG_COLUMNS, row, strict=True)) for row in table[list(LOG_COLUMNS)].to_numpy()]
    with open_run(card, recipe, clips, restored=True) as run:
        run.log_series(curves(log))
        log_files(run, options.out, options.log)
    tracking.require_logged(card.dataset, run_key(card), "train")
    return True


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
    command.run(__doc__, Options, main)
