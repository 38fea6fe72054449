"""score: the pre-softmax scores of one cell on its split's test list (25 x 10 in the paper)."""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from stages.runtime import command, params, provenance
from stages.runtime.machine import Machine, choose_device
from stages.tracking import runs as tracking
from tsn.lists import read_list, read_names
from tsn.metrics import accuracy
from tsn.modality import modality
from tsn.model.checkpoint import load_model, refuse_other_cell
from tsn.scoring.score import ScoringConfig, score_videos, video_scores
from tsn.scoring.scores import VideoScores, load_scores, save_scores
from tsn.snippets.dataset import TestingSnippets, listed_clips


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.score"
    content = params.load()
    config = params.section(content, section, ScoringConfig)
    machine = params.section(content, "machine", Machine)
    row = modality(args.modality)
    text = f"score {args.dataset} split {args.split} {args.modality}"
    with provenance.unchanged([section], [args.classes, args.list, args.stream, args.model]):
        classes = read_names(args.classes)
        device = choose_device(machine)
        network, card = load_model(args.model)
        refuse_other_cell(card, args.dataset, args.split, args.modality, classes, args.model)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        clips, dropped = listed_clips(read_list(args.list), args.stream, row)
        if not clips:
            raise ValueError(f"{args.list}: no video of it could be extracted")
        dataset = TestingSnippets(
            clips, row, snippets=config.snippets, crops=config.crops, size=card.input_size
        )
        scored = score_videos(
            network, dataset, batch=config.batch, device=device, workers=machine.workers
        )
        snippets = list(command.progress(scored, total=len(clips), unit="video", text=text))
        scores = VideoScores(
            dataset=args.dataset,
            split=args.split,
            modality=args.modality,
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
        save_scores(scores, args.out)
    for video, reason in dropped.items():
        print(f"left out {video}: {reason}")
    log_scores(scores, config, args.out)
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


def track(args: argparse.Namespace) -> bool:
    """Logs a finished scoring from its file; False when it is in its run already."""
    scores = load_scores(args.out)
    config = params.section(params.load(), f"recipes.{args.dataset}.score", ScoringConfig)
    key = run_key(scores, config)
    if tracking.is_logged(scores.dataset, key, "score"):
        return False
    log_scores(scores, config, args.out, restored=True)
    tracking.require_logged(scores.dataset, key, "score")
    return True


def arguments() -> argparse.ArgumentParser:
    """The stage's command line."""
    parser = argparse.ArgumentParser(prog="score", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--split", required=True, type=int, help="1, 2 or 3")
    parser.add_argument("--modality", required=True, help="rgb, rgb_diff, flow or warped_flow")
    parser.add_argument("--classes", required=True, type=Path, help="class names in label order")
    parser.add_argument("--list", required=True, type=Path, help="test list of the split")
    parser.add_argument("--stream", required=True, type=Path, help="extracted stream to read")
    parser.add_argument("--model", required=True, type=Path, help="trained model of this cell")
    parser.add_argument("--out", required=True, type=Path, help="out: scores as .npz")
    return parser


if __name__ == "__main__":
    command.run(arguments(), main)
