"""train: one network, for one split and modality of a dataset. Resumes where it was killed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.runtime import command, params, provenance, torchrun
from stages.runtime.machine import Machine, choose_device, read_machine, worth_compiling
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.runtime.training_run import SavedTraining, accompany, complete, curves
from stages.tracking import runs
from stages.tracking.data_sets import listed_data
from stages.tracking.made import read_note, write_note
from stages.tracking.open_run import Run
from tsn.lists import read_list
from tsn.modality import modality
from tsn.model.checkpoint import SIDECAR, ModelCard, load_card, save_model
from tsn.snippets.dataset import Clip, listed_clips
from tsn.training.data_parallel import Share
from tsn.training.progress import read_log, write_log
from tsn.training.settings import TrainingConfig
from tsn.training.solver import Iteration
from tsn.training.start import (
    PreparedTraining,
    TrainingInputs,
    draw_inputs,
    prepare_training,
)

INPUTS = "inputs.png"  # what the network sees, beside its weights


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
    if torchrun.launch("stages.train", machine, config.solver, text):
        return
    device = choose_device(machine)
    with torchrun.joined(device) as share:
        if share.rank:
            prepared, saved = prepare(options, config, machine, device, share)
            accompany(prepared.training, saved)
            return
        with provenance.unchanged(options):
            prepared, saved = prepare(options, config, machine, device, share)
            for video, reason in prepared.dropped.items():
                print(f"left out {video}: {reason}")
            numbers = recipe_params(recipe, options.modality)
            with live_run(options, prepared.card, prepared.snippets.clips, numbers) as run:
                log = complete(prepared.training, saved, machine, run, text=text)
                write(prepared, log, options)
                if link := run.link():
                    print(f"MLflow: {link}")
        write_note(prepared.card.fingerprint, numbers)
        saved.forget()


def prepare(
    options: Options, config: TrainingConfig, machine: Machine, device: torch.device, share: Share
) -> tuple[PreparedTraining, SavedTraining]:
    """Return the training of the command line, and where it is saved: the same in every process."""
    inputs = options.part(TrainingInputs)
    fingerprint = provenance.fingerprint(inputs.cell, config, inputs.files)
    prepared = prepare_training(
        inputs,
        config,
        fingerprint,
        device=device,
        workers=machine.workers,
        share=share,
        precision=machine.precision,
        compiled=worth_compiling(machine, device, config.solver.iterations),
    )
    return prepared, SavedTraining(inputs.name, fingerprint)


def write(prepared: PreparedTraining, log: Sequence[Iteration], options: Options) -> None:
    """Write the model folder, with a picture of the network's inputs, and the log."""
    save_model(prepared.training.network, prepared.card, options.out)
    write_log(log, options.log)
    draw_inputs(prepared.snippets, options.out / INPUTS)


@contextmanager
def live_run(
    options: Options, card: ModelCard, clips: Sequence[Clip], numbers: Mapping[str, object]
) -> Iterator[Run]:
    """Give the cell's MLflow run while it trains."""
    with runs.live_run(**run_facts(card, clips, numbers)) as run:
        log_data(run, options)
        yield run


def run_facts(
    card: ModelCard, clips: Sequence[Clip], numbers: Mapping[str, object]
) -> dict[str, Any]:
    """Return what the cell's run is found by and shows from the first iteration on."""
    return {
        "dataset": card.dataset,
        "name": f"split{card.split} {card.modality}",
        "key": run_key(card),
        "params": {**numbers, "train_videos": len(clips)},
        "tags": {
            "dataset": card.dataset,
            "split": str(card.split),
            "modality": card.modality,
        },
    }


def log_data(run: Run, options: Options) -> None:
    """Say what is trained on."""
    run.log_dataset(listed_data(options.dataset, options.split, options.list))


def recipe_params(recipe: params.Settings, name: str) -> dict[str, object]:
    """Return all that the recipe and params.yaml say about a modality's cell, for the run."""
    sections = ("source", "split", "accept", f"extract.{name}", "init", f"train.{name}")
    machine = params.find(params.load(), "machine")
    return {dotted.partition(".")[0]: params.find(recipe, dotted) for dotted in sections} | {
        f"machine.{key}": machine[key]
        for key in ("device", "processes", "threads", "precision", "compile")
    }


def run_key(card: ModelCard) -> dict[str, str]:
    """Return what the cell's run is found by."""
    return {"stage": "cell", "fingerprint": card.fingerprint}


def track(options: Options) -> bool:
    """Log a training from its files; return False when all of it is in its run already."""
    card = load_card(options.out)
    return runs.backfill(card.dataset, run_key(card), "train", lambda: log_training(options, card))


def log_training(options: Options, card: ModelCard) -> None:
    """Log a training from its files, or what its live run does not have yet."""
    made = read_note(card.fingerprint)
    section = f"train.{options.modality}"  # all that is known of a restored one
    known = {"train": params.find(params.load_recipe(options.dataset), section)}
    clips, _ = listed_clips(read_list(options.list), options.stream, modality(options.modality))
    facts = run_facts(card, clips, made.params or known)
    with runs.run(part="train", **facts, made=made) as run:
        log_data(run, options)
        run.log_series(curves(read_log(options.log)))
        for path in (options.log, options.out / INPUTS, options.out / SIDECAR):
            run.log_artifact(path)


if __name__ == "__main__":
    command.run(__doc__, Options, main)
