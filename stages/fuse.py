"""fuse: one split's modalities and their weighted sums, measured on its test list."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from stages.reporting import figures
from stages.reporting.results import Accuracy, load_split
from stages.runtime import command, params, provenance
from stages.tracking import runs as tracking
from tsn.lists import ListedVideo, read_list
from tsn.metrics import Scores, accuracy, confusion_matrix, per_class_accuracy
from tsn.scoring.fusion import FusionConfig, common_videos, fuse, left_out, refuse_other_scores
from tsn.scoring.scores import VideoScores, load_scores


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.fusion"
    content = params.load()
    config = params.section(content, section, FusionConfig)
    modalities = params.section(content, "modalities", tuple[str, ...])
    with provenance.unchanged([section, "modalities"], [args.scores, args.list]):
        cells = load_cells(args, modalities)
        rows = {name: cell.scores for name, cell in cells.items()}
        rows |= {name: fuse(cells, weights) for name, weights in config.combinations.items()}
        metrics = measure(rows, next(iter(cells.values())), read_list(args.list))
        args.metrics.parent.mkdir(parents=True, exist_ok=True)
        args.metrics.write_text(json.dumps(metrics, indent=2) + "\n")
        write_plots(rows, cells, metrics, config.headline, args.plots)
    log_fusion(args, config, cells)
    if text := left_out(cells, [row.video for row in read_list(args.list)]):
        print(f"{args.dataset} split {args.split}: {text}")
    result = metrics[config.headline]["mean_class_accuracy"]
    print(f"{args.dataset} split {args.split}: {config.headline} {result:.1%}")


def load_cells(args: argparse.Namespace, modalities: Sequence[str]) -> dict[str, VideoScores]:
    """The scores of every modality, on the videos that all of them could score."""
    cells = {name: load_scores(args.scores / f"{name}.npz") for name in modalities}
    listed = [video.video for video in read_list(args.list)]
    refuse_foreign(cells, args.dataset, args.split, listed)
    cells = common_videos(cells)
    first = next(iter(cells.values()))
    for cell in cells.values():
        refuse_other_scores(cell, first)
    return cells


def refuse_foreign(
    cells: Mapping[str, VideoScores], dataset: str, split: int, listed: Sequence[str]
) -> None:
    """ValueError for scores of another dataset or split, or of videos not on the test list."""
    for name, cell in cells.items():
        again = f"run the score stage of {dataset} split {split} {name} again"
        if (cell.dataset, cell.split, cell.modality) != (dataset, split, name):
            raise ValueError(
                f"{name}.npz holds scores of {cell.dataset} split {cell.split} {cell.modality}, "
                f"expected {dataset} split {split} {name}; {again}"
            )
        unknown = sorted(set(cell.videos) - set(listed))
        if unknown:
            raise ValueError(
                f"{name}.npz holds scores of {len(unknown)} videos that the test list does not "
                f"have ({', '.join(unknown[:3])}); {again}"
            )


def measure(
    rows: Mapping[str, Scores], cell: VideoScores, listed: Sequence[ListedVideo]
) -> dict[str, Accuracy]:
    """The metrics of every row: over all test videos, and top-1 over those with each tag."""
    tags_of = {video.video: video.tags for video in listed}
    tags = np.array([" ".join(tags_of[video]) for video in cell.videos])
    words = sorted({word for text in tags for word in text.split()})
    members = {word: np.array([word in text.split() for text in tags]) for word in words}
    metrics: dict[str, Accuracy] = {}
    for name, scores in rows.items():
        result = accuracy(scores, cell.labels)
        right = scores.argmax(axis=1) == cell.labels
        by_tag = {word: float(right[member].mean()) for word, member in members.items()}
        metrics[name] = Accuracy(
            mean_class_accuracy=result.mean_class_accuracy,
            top1=result.top1,
            top5=result.top5,
            by_tag=by_tag,
        )
    return metrics


def write_plots(
    rows: Mapping[str, Scores],
    cells: Mapping[str, VideoScores],
    metrics: Mapping[str, Accuracy],
    headline: str,
    out: Path,
) -> None:
    """Tables and figures for DVC and MLflow."""
    cell = next(iter(cells.values()))
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([{"name": name, **row, **row["by_tag"]} for name, row in metrics.items()]).drop(
        columns="by_tag"
    ).to_csv(out / "accuracy.csv", index=False)
    per_class = {name: per_class_accuracy(scores, cell.labels) for name, scores in rows.items()}
    table = pd.DataFrame({"class": cell.classes, **per_class})
    table.to_csv(out / "per_class.csv", index=False)
    predicted = rows[headline].argmax(axis=1)
    pd.DataFrame(
        {
            "video": cell.videos,
            "actual": [cell.classes[label] for label in cell.labels],
            "predicted": [cell.classes[label] for label in predicted],
        }
    ).to_csv(out / "confusion.csv", index=False)
    shown = {name: per_class[name] for name in [*cells, headline]}
    figures.per_class_bars(shown, cell.classes, out / "per_class.png")
    matrix = confusion_matrix(rows[headline], cell.labels)
    figures.confusion_matrix(matrix, cell.classes, out / "confusion.png", f"Confusion, {headline}")


def log_fusion(
    args: argparse.Namespace,
    config: FusionConfig,
    cells: Mapping[str, VideoScores],
    *,
    restored: bool = False,
) -> None:
    """The split's run, tagged with the runs of the cells it fuses."""
    metrics = load_split(args.metrics)
    sources = {name: (cell.fingerprint, cell.model) for name, cell in cells.items()}
    with tracking.run(
        part="fuse",
        dataset=args.dataset,
        name=f"split{args.split} fusion",
        key=run_key(args.split, config, cells),
        params={"fusion": asdict(config), "test_videos": len(next(iter(cells.values())).videos)},
        tags={
            "dataset": args.dataset,
            "modality": "fusion",
            tracking.METRICS_TAG: provenance.digest(metrics),
            **tracking.source_tags(args.dataset, sources),
        },
        restored=restored,
    ) as run:
        for name, row in metrics.items():
            numbers = {key: value for key, value in row.items() if isinstance(value, float)}
            run.log_metrics({f"{name}/{metric}": value for metric, value in numbers.items()})
        run.log_artifact(args.metrics)
        run.log_artifact(args.plots)


def run_key(split: int, config: FusionConfig, cells: Mapping[str, VideoScores]) -> dict[str, str]:
    """What the split's run is found by."""
    fingerprints = {name: cell.fingerprint for name, cell in cells.items()}
    fingerprint = provenance.digest({**fingerprints, "config": asdict(config)})
    return {"stage": "fuse", "split": str(split), "fingerprint": fingerprint}


def track(args: argparse.Namespace) -> bool:
    """Logs a finished fusion from its files; False when its run is there already."""
    content = params.load()
    config = params.section(content, f"recipes.{args.dataset}.fusion", FusionConfig)
    modalities = params.section(content, "modalities", tuple[str, ...])
    cells = load_cells(args, modalities)
    key = run_key(args.split, config, cells)
    if tracking.is_logged(args.dataset, key, "fuse"):
        return False
    log_fusion(args, config, cells, restored=True)
    tracking.require_logged(args.dataset, key, "fuse")
    return True


def arguments() -> argparse.ArgumentParser:
    """The stage's command line."""
    parser = argparse.ArgumentParser(prog="fuse", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--split", required=True, type=int, help="1, 2 or 3")
    parser.add_argument("--list", required=True, type=Path, help="test list of the split")
    parser.add_argument("--scores", required=True, type=Path, help="folder of <modality>.npz")
    parser.add_argument("--metrics", required=True, type=Path, help="out: metrics as JSON")
    parser.add_argument("--plots", required=True, type=Path, help="out: tables and figures")
    return parser


if __name__ == "__main__":
    command.run(arguments(), main)
