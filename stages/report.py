"""report: the mean over a dataset's splits beside the paper's numbers; table, figures, page."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stages import command, figures, params, provenance, results, tracking
from stages.results import Accuracy, Figure
from tsn.splits import read_classes, read_list

Splits = Mapping[int, Mapping[str, Accuracy]]


def main(args: argparse.Namespace) -> None:
    content = params.load()
    numbers = params.section(content, "splits", tuple[int, ...])
    headline = params.section(content, f"recipes.{args.dataset}.fusion.headline", str)
    splits = {k: results.load_split(args.metrics / f"split{k}.json") for k in numbers}
    mean = results.mean_over_splits(list(splits.values()))
    paper = results.PAPER.get(args.dataset)
    args.mean.write_text(json.dumps(mean, indent=2) + "\n")
    args.out.mkdir(parents=True, exist_ok=True)
    shown = draw(args, mean, splits, headline)
    page = results.html_page(
        dataset=args.dataset,
        facts=facts(args.lists),
        mean=mean,
        splits=splits,
        paper=paper,
        figures=shown,
    )
    (args.out / "index.html").write_text(page, encoding="utf-8")
    markdown = results.markdown_table(mean, splits, paper)
    (args.out / "table.md").write_text(markdown + "\n", encoding="utf-8")
    text = "\n\n".join(
        part for part in (results.text_table(mean, splits, paper), results.tag_table(mean)) if part
    )
    (args.out / "table.txt").write_text(text + "\n", encoding="utf-8")
    log_mean(args, mean, splits)


def draw(
    args: argparse.Namespace, mean: Mapping[str, Accuracy], splits: Splits, headline: str
) -> list[Figure]:
    """The figures of the page, drawn into the report's folder."""
    paper = results.PAPER.get(args.dataset)
    figures.fusion_bars(mean, args.out / "fusion.png", paper)
    shown = [
        Figure(
            title="Modalities and fusions",
            caption="Mean class accuracy over the splits; the whisker is the spread.",
            path=args.out / "fusion.png",
        )
    ]
    tables = [pd.read_csv(args.plots / str(k) / "per_class.csv") for k in splits]
    per_class = pd.concat(tables).groupby("class", sort=False).mean()
    columns = [*(name for name in mean if not results.is_combination(name)), headline]
    figures.per_class_bars(
        {name: per_class[name].to_numpy() for name in columns},
        [str(name) for name in per_class.index],
        args.out / "per_class.png",
    )
    shown.append(
        Figure(
            title="Classes",
            caption="Accuracy per class, mean over the splits.",
            path=args.out / "per_class.png",
        )
    )
    first = min(splits)
    logs = {
        name: pd.read_csv(args.plots / str(first) / "training" / f"{name}.csv")
        for name in mean
        if not results.is_combination(name)
    }
    figures.training_curves(logs, args.out / "training.png", f"Training, split {first}")
    shown.append(
        Figure(
            title="Training",
            caption=f"Loss, accuracy and learning rate of split {first}'s networks.",
            path=args.out / "training.png",
        )
    )
    if any(row["by_tag"] for row in mean.values()):
        figures.tag_bars(mean, args.out / "tags.png")
        shown.append(
            Figure(
                title="Kinds of video",
                caption="Accuracy over the test videos that carry a tag.",
                path=args.out / "tags.png",
            )
        )
    return shown


def facts(lists: Path) -> dict[str, str]:
    """What the lists say about the dataset."""
    classes = read_classes(lists / "classes.txt")
    splits = sorted(path for path in lists.iterdir() if path.is_dir())
    sizes = [(len(read_list(p / "train.csv")), len(read_list(p / "test.csv"))) for p in splits]
    return {
        "Classes": str(len(classes)),
        "Videos": str(sum(sizes[0])),
        "Train / test": ", ".join(f"{train} / {test}" for train, test in sizes),
    }


def log_mean(args: argparse.Namespace, mean: Mapping[str, Accuracy], splits: Splits) -> None:
    """The dataset's run: means over splits, with the runs of the splits as sources."""
    digest = provenance.digest({str(split): rows for split, rows in splits.items()})
    with tracking.run(
        dataset=args.dataset,
        name="mean over splits",
        key={"stage": "report", "fingerprint": digest},
        params={"splits": sorted(splits)},
        tags={"dataset": args.dataset, "modality": "fusion", "split": "mean"},
    ) as run:
        for name, row in mean.items():
            values = {k: v for k, v in row.items() if isinstance(v, float)}
            run.log_metrics({f"{name}/{metric}": value for metric, value in values.items()})
        run.log_artifact(args.mean)
        run.log_artifact(args.out, "report")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--metrics", required=True, type=Path, help="folder of split<k>.json")
    parser.add_argument(
        "--plots", required=True, type=Path, help="folder of the plots of train, fuse"
    )
    parser.add_argument("--lists", required=True, type=Path, help="folder of the split lists")
    parser.add_argument("--mean", required=True, type=Path, help="out: mean.json")
    parser.add_argument("--out", required=True, type=Path, help="out: tables, figures, page")
    command.run(parser, main)
