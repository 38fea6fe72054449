"""score: the pre-softmax scores of one cell on its split's test list (25 x 10 in the paper)."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from stages.runtime import command, params, provenance
from stages.runtime.machine import choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import runs as tracking
from tsn.lists import read_list, read_names
from tsn.metrics import accuracy
from tsn.modality import modality
from tsn.model.checkpoint import load_model, refuse_other_cell
from tsn.scoring.score import ScoringConfig, score_videos, video_scores
from tsn.scoring.scores import VideoScores, load_scores, save_scores
from tsn.snippets.dataset import TestingSnippets, listed_clips


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
    config = params.section(params.load_recipe(options.dataset), "score", ScoringConfig)
    machine = read_machine()
    row = modality(options.modality)
    text = f"score {options.dataset} split {options.split} {options.modality}"
    with provenance.unchanged(options):
        classes = read_names(options.classes)
        device = choose_device(machine)
        network, card = load_model(options.model)
        refuse_other_cell(
            card, options.dataset, options.split, options.modality, classes, options.model
        )
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        clips, dropped = listed_clips(read_list(options.list), options.stream, row)
        if not clips:
            raise ValueError(f"{options.list}: no video of it could be extracted")
        dataset = TestingSnippets(
            clips, row, snippets=config.snippets, crops=config.crops, size=card.input_size
        )
        scored = score_videos(
            network, dataset, batch=config.batch, device=device, workers=machine.workers
        )
        snippets = list(command.progress(scored, total=len(clips), unit="video", text=text))
        scores = VideoScores(
            dataset=options.dataset,
            split=options.split,
            modality=options.modality,
            model=card.fingerprint,
            fingerprint=provenance.digest(
                [card.fingerprint, asdict(config), [(c.video, c.label) for c in clips]]
            ),
            classes=classes,
            videos=tuple(clip.video for clip in clips),
            labels=np.array([clip.label for clip in clips]),
            snippets=np.stack(snippets),
            scores=video_scores(snippets),
        )
        save_scores(scores, options.out)
    for video, reason in dropped.items():
        print(f"left out {video}: {reason}")
    log_scores(scores, config, options.out)
    result = accuracy(scores.scores, scores.labels)
    print(
        f"{scores.dataset} split {scores.split} {scores.modality}: "
        f"{result.mean_class_accuracy:.1%} mean class accuracy on {len(scores.videos)} videos"
    )


def log_scores(
    scores: VideoScores, config: ScoringConfig, path: Path, *, restored: bool = False
) -> None:
    """Adds the test result to the run that trained the model."""
    result = accuracy(scores.scores, scores.labels)
    with tracking.run(
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
        restored=restored,
    ) as run:
        run.log_metrics({f"test/{name}": value for name, value in asdict(result).items()})
        run.log_artifact(path)


def run_key(scores: VideoScores, config: ScoringConfig) -> dict[str, str]:
    """The training's run, or a run of its own if that holds the result of another scoring."""
    trained = {"stage": "cell", "fingerprint": scores.model}
    wanted = tracking.flatten_params({"score": asdict(config)})
    for run in tracking.find_runs(scores.dataset, trained)[:1]:
        recorded = {k: v for k, v in run.params.items() if k.startswith("score.")}
        if recorded and recorded != wanted:
            return {"stage": "cell", "fingerprint": scores.fingerprint}
    return trained


def track(options: Options) -> bool:
    """Logs a finished scoring from its file; False when it is in its run already."""
    scores = load_scores(options.out)
    config = params.section(params.load_recipe(options.dataset), "score", ScoringConfig)
    key = run_key(scores, config)
    if tracking.is_logged(scores.dataset, key, "score"):
        return False
    log_scores(scores, config, options.out, restored=True)
    tracking.require_logged(scores.dataset, key, "score")
    return True


if __name__ == "__main__":
    command.run(__doc__, Options, main)
