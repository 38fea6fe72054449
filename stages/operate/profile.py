"""profile: where the time of a training's iterations goes. Nothing that is trained is kept.

Written are profile.json and trace.json.gz, which https://ui.perfetto.dev or chrome://tracing
draws. MLflow gets both, in a run of its own.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from stages.runtime import command, params
from stages.runtime.machine import Machine, choose_device, read_machine, worth_compiling
from stages.runtime.places import DatasetPaths
from stages.tracking import runs
from tsn.files import json_sha256, write_json
from tsn.lists import CLASSES, TRAIN
from tsn.training.profile import TrainingProfile, count_iterations, profile_training
from tsn.training.settings import TrainingConfig
from tsn.training.solver import BACKWARD, FORWARD, LOAD, TRANSFER, UPDATE
from tsn.training.start import TrainingInputs, prepare_training

NUMBERS, TRACE = "profile.json", "trace.json.gz"
MANY = 1_000_000_000  # iterations: the solver of a profile never comes to its end
MUCH_WAITING = 0.1
WHAT = {
    LOAD: "wait for the readers",
    TRANSFER: "to the device, as floats",
    FORWARD: "network and loss",
    BACKWARD: "gradients",
    UPDATE: "clip and step",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """out: the folder of the two files."""

    dataset: str
    split: int
    modality: str
    iterations: int
    out: Path


def main(options: Options) -> None:
    machine = read_machine()
    recipe = params.load_recipe(options.dataset)
    config = params.section(recipe, f"train.{options.modality}", TrainingConfig)
    device = choose_device(machine)
    prepared = prepare_training(
        inputs_of(options),
        replace(config, solver=replace(config.solver, iterations=MANY)),
        "",
        device=device,
        workers=machine.workers,
        precision=machine.precision,
        compiled=worth_compiling(machine, device, config.solver.iterations),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    trace = options.out / TRACE
    watch = partial(
        command.progress,
        total=count_iterations(options.iterations),
        unit="it",
        text=f"profile {options.dataset} split {options.split} {options.modality}",
    )
    found = profile_training(prepared.training, options.iterations, trace, watch)
    for line in table(found):
        print(line)
    print(f"profile: {trace}, for https://ui.perfetto.dev")
    write_json(options.out / NUMBERS, asdict(found))
    log(options, machine, found)


def inputs_of(options: Options) -> TrainingInputs:
    """Return what the cell is trained on; FileNotFoundError where it was not made yet.

    ValueError for a split or a modality that params.yaml does not choose: no cell makes those.
    """
    selection = params.load()
    splits = params.section(selection, "splits", tuple[int, ...])
    modalities = params.section(selection, "modalities", tuple[str, ...])
    if options.split not in splits or options.modality not in modalities:
        raise ValueError(
            f"no training of split {options.split}, {options.modality}: params.yaml has splits "
            f"{', '.join(map(str, splits))} and modalities {', '.join(modalities)}"
        )
    paths = DatasetPaths(options.dataset)
    inputs = TrainingInputs(
        dataset=options.dataset,
        split=options.split,
        modality=options.modality,
        classes=paths.splits / CLASSES,
        list=paths.splits / str(options.split) / TRAIN,
        stream=paths.data / options.modality,
        init=paths.init,
    )
    for path in (inputs.classes, inputs.list, inputs.stream, inputs.init):
        if not path.exists():
            cells = f"extract@{options.dataset}-{options.modality} pretrain@{options.dataset}"
            raise FileNotFoundError(f"{path} is not there; make it: tsn repro {cells}")
    return inputs


def table(found: TrainingProfile) -> Iterator[str]:
    """Yield the lines of the table, and what they say of the readers."""
    total = sum(part.process for part in found.parts.values())
    gpu = sum(part.gpu for part in found.parts.values())
    yield f"{'part':<10}{'ms':>9}{'share':>8}" + (f"{'GPU ms':>9}" if gpu else "")
    for name, part in found.parts.items():
        row = f"{name:<10}{1000 * part.process:>9.1f}{part.process / total:>8.1%}"
        yield row + (f"{1000 * part.gpu:>9.1f}" if gpu else "") + f"  {WHAT[name]}"
    yield (
        f"An iteration of {found.videos} videos takes {1000 * found.iteration:.1f} ms without the "
        f"profiler: {found.trained_per_second:.1f} videos/s."
    )
    yield (
        f"To read a video takes {1000 * found.read:.1f} ms of a core: {found.readers or 'no'} "
        f"readers of their own can give {found.read_per_second:.0f} videos/s."
    )
    if found.readers == 0:
        yield "The training reads itself: see machine.workers of params.yaml."
    elif found.waiting > MUCH_WAITING:
        yield (
            f"The training waits for its readers {found.waiting:.0%} of the time: "
            "raise machine.workers of params.yaml if there are cores left."
        )
    else:
        yield "The readers keep up."


def log(options: Options, machine: Machine, found: TrainingProfile) -> None:
    """Log a profile as a run, whose metrics are those of `table`."""
    cell = {"split": str(options.split), "modality": options.modality}
    facts = {**cell, "stage": "profile", "dataset": options.dataset}
    with runs.run(
        part="profile",
        dataset=options.dataset,
        name=f"profile split{options.split} {options.modality}",
        key={"stage": "profile", "fingerprint": json_sha256(asdict(found))},
        params={"machine": asdict(machine), "iterations": options.iterations},
        tags=facts,
        results=str(options.out),
    ) as run:
        run.log_metrics(metrics(found))
        for name in (NUMBERS, TRACE):
            run.log_artifact(options.out / name)
        if link := run.link():
            print(f"MLflow: {link}")


def metrics(found: TrainingProfile) -> dict[str, float]:
    """Return the shares of an iteration's time, and the rates."""
    total = sum(part.process for part in found.parts.values())
    shares = {f"time/{name}_share": part.process / total for name, part in found.parts.items()}
    if gpu := sum(part.gpu for part in found.parts.values()):
        shares["time/gpu_busy"] = gpu / total
    return shares | {
        "time/iteration_seconds": found.iteration,
        "rate/videos_trained": found.trained_per_second,
        "rate/videos_read": found.read_per_second,
    }
