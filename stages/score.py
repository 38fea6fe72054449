"""score: the pre-softmax scores of one cell on its split's test list (25 x 10 in the paper)."""

from dataclasses import asdict, dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.machine import choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import runs
from stages.tracking.data_sets import listed_data
from stages.tracking.entries import flatten_params
from stages.tracking.made import read_note, write_note
from tsn.metrics import accuracy
from tsn.scoring.score import ScoringInputs, prepare_scoring
from tsn.scoring.scores import VideoScores, load_scores, save_scores
from tsn.scoring.settings import ScoringConfig


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("score",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    split: int = option("1, 2 or 3")
    modality: str = option("rgb, rgb_diff, flow or warped_flow")
    classes: Path = input_path("class names in label order")
    list: Path = input_path("test list of the split")
    stream: Path = input_path("extracted stream to read")
    model: Path = input_path("trained model of this cell")
    out: Path = output_path("scores as .npz")


def main(options: Options) -> None:
    config = read_config(options)
    machine = read_machine()
    text = f"score {options.dataset} split {options.split} {options.modality}"
    with provenance.unchanged(options):
        device = choose_device(machine)
        scoring = prepare_scoring(
            options.part(ScoringInputs),
            config,
            device=device,
            workers=machine.workers,
        )
        total = len(scoring.clips)
        snippets = list(command.progress(scoring.snippets, total=total, unit="video", text=text))
        scores = scoring.result(snippets)
        save_scores(scores, options.out)
    for video, reason in scoring.dropped.items():
        print(f"left out {video}: {reason}")
    write_note(scores.fingerprint)
    result = accuracy(scores.scores, scores.labels)
    print(
        f"{scores.dataset} split {scores.split} {scores.modality}: "
        f"{result.mean_class_accuracy:.1%} mean class accuracy on {len(scores.videos)} videos"
    )


def read_config(options: Options) -> ScoringConfig:
    """Return how the recipe scores."""
    return params.section(params.load_recipe(options.dataset), "score", ScoringConfig)


def log_scores(scores: VideoScores, config: ScoringConfig, options: Options) -> None:
    """Add the test result to the run that trained the model."""
    result = accuracy(scores.scores, scores.labels)
    with runs.run(
        part="score",
        dataset=scores.dataset,
        name=f"split{scores.split} {scores.modality}",
        key=run_key(scores, config),
        params={"score": asdict(config), "test_videos": len(scores.videos)},
        tags={
            "dataset": scores.dataset,
            "split": str(scores.split),
            "modality": scores.modality,
        },
        made=read_note(scores.fingerprint),
    ) as run:
        run.log_metrics({f"test/{name}": value for name, value in asdict(result).items()})
        run.log_dataset(listed_data(options.dataset, options.split, options.list))
        run.log_artifact(options.out)


def run_key(scores: VideoScores, config: ScoringConfig) -> dict[str, str]:
    """Return what the run is found by.

    It is the training's, or one of its own if that holds the result of another scoring.
    """
    trained = {"stage": "cell", "fingerprint": scores.model}
    wanted = flatten_params({"score": asdict(config)})
    for run in runs.find_runs(scores.dataset, trained)[:1]:
        recorded = {k: v for k, v in run.params.items() if k.startswith("score.")}
        if recorded and recorded != wanted:
            return {"stage": "cell", "fingerprint": scores.fingerprint}
    return trained


def track(options: Options) -> bool:
    """Log a scoring from its file; return False when it is in its run already."""
    scores = load_scores(options.out)
    config = read_config(options)
    return runs.backfill(
        scores.dataset,
        run_key(scores, config),
        "score",
        lambda: log_scores(scores, config, options),
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
