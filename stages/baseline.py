"""baseline: the scores of a logistic regression on frozen features, on its split's test list."""

from dataclasses import asdict, dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.machine import choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import runs
from stages.tracking.data_sets import listed_data
from stages.tracking.made import read_note, write_note
from tsn.metrics import accuracy
from tsn.scoring.baseline import BaselineInputs, prepare_baseline
from tsn.scoring.scores import (
    BASELINE,
    NO_INITIAL_WEIGHTS,
    VideoScores,
    load_scores,
    save_scores,
)
from tsn.scoring.settings import BaselineConfig


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("baseline",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    split: int = option("1, 2 or 3")
    modality: str = option("of whose stream features are taken: rgb, or another one")
    classes: Path = input_path("class names in label order")
    train: Path = input_path("training list of the split")
    test: Path = input_path("test list of the split")
    stream: Path = input_path("extracted stream to read")
    init: Path = input_path("initial weights of the dataset")
    out: Path = output_path("scores as .npz, of no video where there are no initial weights")


def main(options: Options) -> None:
    config, machine = read_config(options), read_machine()
    inputs = options.part(BaselineInputs)
    where = f"{options.dataset} split {options.split}"
    with provenance.unchanged(options):
        device = choose_device(machine)
        fingerprint = provenance.fingerprint(inputs.cell, config, inputs.files)
        prepared = prepare_baseline(
            inputs,
            config,
            fingerprint,
            device=device,
            workers=machine.workers,
        )
        total, text = len(prepared.train) + len(prepared.test), f"baseline {where}"
        bar = command.progress(prepared.features, total=total, unit="video", text=text)
        scores = prepared.result(list(bar))
        save_scores(scores, options.out)
    if not scores.videos:
        print(f"{where}: not run: {BASELINE} ({NO_INITIAL_WEIGHTS})")
        return
    for video, reason in prepared.dropped.items():
        print(f"left out {video}: {reason}")
    write_note(scores.fingerprint)
    result = accuracy(scores.scores, scores.labels).mean_class_accuracy
    print(f"{where} baseline: {result:.1%} mean class accuracy on {len(scores.videos)} videos")


def read_config(options: Options) -> BaselineConfig:
    """Return what the recipe says of the baseline."""
    return params.section(params.load_recipe(options.dataset), "baseline", BaselineConfig)


def log_scores(scores: VideoScores, options: Options) -> None:
    """Log the baseline's run; its test metrics have the names of a trained network's."""
    config = read_config(options)
    with runs.run(
        part="baseline",
        dataset=scores.dataset,
        name=f"split{scores.split} baseline",
        key=run_key(scores),
        params={
            "baseline": {**asdict(config), "modality": options.modality},
            "test_videos": len(scores.videos),
        },
        tags={"dataset": scores.dataset, "split": str(scores.split), "modality": BASELINE},
        made=read_note(scores.fingerprint),
    ) as run:
        result = asdict(accuracy(scores.scores, scores.labels))
        run.log_metrics({f"test/{name}": value for name, value in result.items()})
        for path in (options.train, options.test):
            run.log_dataset(listed_data(options.dataset, options.split, path))
        run.log_artifact(options.out)


def run_key(scores: VideoScores) -> dict[str, str]:
    """Return what the run is found by."""
    return {"stage": "baseline", "fingerprint": scores.fingerprint}


def track(options: Options) -> bool:
    """Log a baseline from its file; False when its run is there or none is to be."""
    scores = load_scores(options.out)
    return bool(scores.videos) and runs.backfill(
        scores.dataset, run_key(scores), "baseline", lambda: log_scores(scores, options)
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
