"""report: the mean over a dataset's splits beside the paper's numbers; table, figures, page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.reporting import dataset_page, published, results
from stages.reporting.figures.fusion_bars import draw_fusion_bars
from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.reporting.figures.tag_bars import draw_tag_bars
from stages.reporting.figures.training_curves import draw_training_curves
from stages.reporting.results import Accuracy, Figure
from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import runs as tracking
from tsn.files import json_sha256, write_json
from tsn.scoring.fusion import FusionConfig

LOOK = "look.png"  # of the stage of that name
Splits = Mapping[int, Mapping[str, Accuracy]]


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("fusion",)
    params_sections = ("splits", "modalities")

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    metrics: Path = option("folder of split<k>.json")
    plots: Path = input_path("folder of the plots of train, fuse and look")
    lists: Path = input_path("folder of the split lists")
    quarantine: Path = input_path("folder of what extract set aside")
    mean: Path = output_path("mean.json")
    out: Path = output_path("tables, figures, page")


def main(options: Options) -> None:
    fusion = params.section(params.load_recipe(options.dataset), "fusion", FusionConfig)
    modalities = params.section(params.load(), "modalities", tuple[str, ...])
    headline = fusion.headline_of(modalities)
    tables = [options.lists, options.quarantine, *options.metrics.glob("split*.json")]
    inputs = [options.plots, results.TEMPLATE, *tables]
    with provenance.unchanged(options, inputs):
        splits = load_splits(options.metrics)
        mean = results.mean_over_splits(list(splits.values()))
        write(options, mean, splits, headline, fusion.not_run(modalities))
    log_mean(options, mean, splits)


def load_splits(folder: Path) -> dict[int, dict[str, Accuracy]]:
    """Return the metrics of every split of params.yaml."""
    numbers = params.section(params.load(), "splits", tuple[int, ...])
    return {k: results.load_split(folder / f"split{k}.json") for k in numbers}


def write(
    options: Options,
    mean: Mapping[str, Accuracy],
    splits: Splits,
    headline: str,
    not_run: Mapping[str, str],
) -> None:
    """Write every file of the stage. not_run: the fusions that were left out, and why."""
    paper = published.PAPER.get(options.dataset)
    write_json(options.mean, mean)
    options.out.mkdir(parents=True, exist_ok=True)
    shown = draw(options, mean, splits, headline)
    page = results.html_page(
        dataset=options.dataset,
        facts=dataset_page.facts(options.lists),
        listings=[
            *results.not_run_listing(not_run),
            *dataset_page.listings(options.lists, options.quarantine, modalities_of(mean)),
        ],
        mean=mean,
        splits=splits,
        headline=headline,
        paper=paper,
        figures=shown,
    )
    (options.out / "index.html").write_text(page, encoding="utf-8")
    markdown = results.markdown_table(mean, splits, headline, paper)
    left_out = "".join(f"\n\nNot run: {row} ({reason})." for row, reason in not_run.items())
    (options.out / "table.md").write_text(markdown + left_out + "\n", encoding="utf-8")
    tables = (results.text_table(mean, splits, headline, paper), results.tag_table(mean))
    text = "\n\n".join(table for table in tables if table)
    (options.out / "table.txt").write_text(text + left_out + "\n", encoding="utf-8")


def draw(
    options: Options, mean: Mapping[str, Accuracy], splits: Splits, headline: str
) -> list[Figure]:
    """Return the figures of the page, drawn into the report's folder."""
    modalities = modalities_of(mean)
    first = min(splits)
    shown = [
        Figure(
            title="Modalities and fusions",
            caption="Mean class accuracy over the splits; the whisker is the spread.",
            path=options.out / "fusion.png",
        ),
        Figure(
            title="Classes",
            caption="Accuracy per class, mean over the splits.",
            path=options.out / "per_class.png",
        ),
        Figure(
            title="Training",
            caption=f"Loss, accuracy and learning rate of split {first}'s networks.",
            path=options.out / "training.png",
        ),
    ]
    bars, classes, curves = (figure.path for figure in shown)
    draw_fusion_bars(mean, bars, headline, published.PAPER.get(options.dataset))
    draw_classes(
        [options.plots / str(k) for k in splits],
        list(dict.fromkeys([*modalities, headline])),
        classes,
    )
    logs = {name: training_log(options.plots / str(first), name) for name in modalities}
    draw_training_curves(logs, curves, f"Training, split {first}")
    if any(row["by_tag"] for row in mean.values()):
        kinds = Figure(
            title="Kinds of video",
            caption="Accuracy over the test videos that carry a tag.",
            path=options.out / "tags.png",
        )
        draw_tag_bars(mean, kinds.path)
        shown.append(kinds)
    look = Figure(
        title="What the networks see",
        caption="Frame, RGB difference, flow and warped flow of a few videos.",
        path=options.plots / LOOK,
    )
    return [*shown, look, *dataset_page.pictures(options.lists, options.out)]


def modalities_of(mean: Mapping[str, Accuracy]) -> list[str]:
    """Return the rows of single modalities."""
    return [name for name in mean if not results.is_combination(name)]


def draw_classes(plots: Sequence[Path], names: Sequence[str], path: Path) -> None:
    """Draw the accuracy per class of the named rows, mean over the splits' tables."""
    tables = [pd.read_csv(folder / "per_class.csv") for folder in plots]
    mean = pd.concat(tables).groupby("class", sort=False).mean()
    rows = {name: mean[name].to_numpy() for name in names}
    draw_per_class_bars(rows, [str(name) for name in mean.index], path)


def training_log(plots: Path, name: str) -> pd.DataFrame:
    """Return a modality's log: a row per iteration."""
    return pd.read_csv(plots / "training" / f"{name}.csv")


def log_mean(
    options: Options,
    mean: Mapping[str, Accuracy],
    splits: Splits,
    *,
    restored: bool = False,
) -> None:
    """Log the dataset's run: means over splits, tagged with the runs of the splits."""
    fusions = {
        k: tracking.find_runs(
            options.dataset,
            {"stage": "fuse", "split": str(k), tracking.METRICS_TAG: json_sha256(rows)},
        )
        for k, rows in splits.items()
    }
    with tracking.run(
        part="report",
        dataset=options.dataset,
        name="mean over splits",
        key=run_key(splits),
        params={"splits": sorted(splits)},
        tags={
            "dataset": options.dataset,
            "modality": "fusion",
            "split": "mean",
            **{f"source.split{k}": runs[0].run_id for k, runs in fusions.items() if runs},
        },
        restored=restored,
    ) as run:
        for name, row in mean.items():
            values = {k: v for k, v in row.items() if isinstance(v, float)}
            run.log_metrics({f"{name}/{metric}": value for metric, value in values.items()})
        run.log_artifact(options.mean)
        run.log_artifact(options.plots / LOOK)
        run.log_artifact(options.out, "report")


def run_key(splits: Splits) -> dict[str, str]:
    """Return what the dataset's run is found by."""
    digest = json_sha256({str(split): rows for split, rows in splits.items()})
    return {"stage": "report", "fingerprint": digest}


def track(options: Options) -> bool:
    """Log a finished report from its files; False when its run is there already."""
    splits = load_splits(options.metrics)
    key = run_key(splits)
    if tracking.is_logged(options.dataset, key, "report"):
        return False
    log_mean(options, results.load_split(options.mean), splits, restored=True)
    tracking.require_logged(options.dataset, key, "report")
    return True


if __name__ == "__main__":
    command.run(__doc__, Options, main)
