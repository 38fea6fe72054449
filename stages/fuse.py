"""fuse: one split's modalities, their weighted sums and the baseline, measured on its test list."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from stages.reporting import results
from stages.reporting.figures.confusion_matrix import draw_confusion_matrix
from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.reporting.figures.style import colour_series
from stages.reporting.results import Row
from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import runs
from stages.tracking.data_sets import listed_data
from stages.tracking.made import read_note, write_note
from tsn.files import json_sha256
from tsn.lists import read_list
from tsn.metrics import Scores, confusion_matrix, per_class_accuracy
from tsn.scoring.fusion import (
    FusionConfig,
    common_videos,
    describe_not_run,
    fuse,
    left_out,
    refuse_other_scores,
)
from tsn.scoring.scores import BASELINE, NO_INITIAL_WEIGHTS, VideoScores, load_scores


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("fusion",)
    params_sections = ("modalities",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    split: int = option("1, 2 or 3")
    list: Path = input_path("test list of the split")
    scores: Path = input_path("folder of <modality>.npz, and of baseline.npz")
    metrics: Path = output_path("metrics as JSON")
    plots: Path = output_path("tables and figures")


def main(options: Options) -> None:
    config, modalities = read_selection(options.dataset)
    headline = config.headline_of(modalities)
    with provenance.unchanged(options):
        cells = load_cells(options, modalities)
        rows = {name: fuse(cells, weights) for name, weights in config.rows(modalities).items()}
        baseline = load_baseline(options, cells)
        rows |= {name: found.scores for name, found in baseline.items()}
        metrics = results.measure(rows, next(iter(cells.values())), read_list(options.list))
        results.write_rows(options.metrics, metrics)
        write_plots(rows, cells, metrics, headline, options.plots)
    write_note(fingerprint_of(config, {**cells, **baseline}))
    not_run = config.not_run(modalities) | ({} if baseline else {BASELINE: NO_INITIAL_WEIGHTS})
    if not_run:
        print(f"{options.dataset} split {options.split}: not run: {describe_not_run(not_run)}")
    if text := left_out(cells, [row.video for row in read_list(options.list)]):
        print(f"{options.dataset} split {options.split}: {text}")
    result = metrics[headline].mean_class_accuracy
    print(f"{options.dataset} split {options.split}: {headline} {result:.1%}")


def read_selection(dataset: str) -> tuple[FusionConfig, tuple[str, ...]]:
    """Return what is fused, and the modalities that there are."""
    config = params.section(params.load_recipe(dataset), "fusion", FusionConfig)
    return config, params.section(params.load(), "modalities", tuple[str, ...])


def load_cells(options: Options, modalities: Sequence[str]) -> dict[str, VideoScores]:
    """Return the scores of every modality, on the videos that all of them could score."""
    cells = {name: load_scores(options.scores / f"{name}.npz") for name in modalities}
    listed = [video.video for video in read_list(options.list)]
    refuse_foreign(cells, options.dataset, options.split, listed)
    return common_videos(cells)


def load_baseline(options: Options, cells: Mapping[str, VideoScores]) -> dict[str, VideoScores]:
    """Return the baseline's scores by its row, on the videos of the cells; nothing if not run.

    What it could score decides nothing: all rows stand for the videos of the modalities.
    """
    baseline = load_scores(options.scores / f"{BASELINE}.npz")
    if not baseline.videos:
        return {}
    listed = [video.video for video in read_list(options.list)]
    refuse_foreign({BASELINE: baseline}, options.dataset, options.split, listed)
    baseline = common_videos({**cells, BASELINE: baseline})[BASELINE]
    refuse_other_scores(baseline, next(iter(cells.values())))
    return {BASELINE: baseline}


def refuse_foreign(
    cells: Mapping[str, VideoScores], dataset: str, split: int, listed: Sequence[str]
) -> None:
    """Raise ValueError for scores of another dataset or split, or of videos that are not listed."""
    for name, cell in cells.items():
        again = f"make the scores of {dataset} split {split} {name} again"
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


def write_plots(
    rows: Mapping[str, Scores],
    cells: Mapping[str, VideoScores],
    metrics: Mapping[str, Row],
    headline: str,
    out: Path,
) -> None:
    """Write the tables and figures for DVC and MLflow."""
    cell = next(iter(cells.values()))
    out.mkdir(parents=True, exist_ok=True)
    plain = results.plain_rows(metrics)
    tags = [row.pop("by_tag") for row in plain.values()]
    flat = [{"name": n, **row, **tag} for (n, row), tag in zip(plain.items(), tags, strict=True)]
    pd.DataFrame(flat).to_csv(out / "accuracy.csv", index=False)
    per_class = {name: per_class_accuracy(scores, cell.labels) for name, scores in rows.items()}
    table = pd.DataFrame({"class": cell.classes, **per_class})
    table.to_csv(out / results.PER_CLASS_TABLE, index=False)
    predicted = rows[headline].argmax(axis=1)
    pd.DataFrame(
        {
            "video": cell.videos,
            "actual": [cell.classes[label] for label in cell.labels],
            "predicted": [cell.classes[label] for label in predicted],
        }
    ).to_csv(out / results.CONFUSION_TABLE, index=False)
    shown = {name: per_class[name] for name in [*cells, headline]}
    colours = colour_series(list(rows))
    draw_per_class_bars(shown, cell.classes, out / "per_class.png", colours=colours)
    matrix = confusion_matrix(rows[headline], cell.labels)
    draw_confusion_matrix(matrix, cell.classes, out / "confusion.png", f"Confusion, {headline}")


def log_fusion(
    options: Options, config: FusionConfig, headline: str, cells: Mapping[str, VideoScores]
) -> None:
    """Log the split's run, tagged with the runs of the cells it fuses, and of the baseline."""
    metrics = results.read_rows(options.metrics)
    sources = {name: (cell.fingerprint, cell.model) for name, cell in cells.items()}
    with runs.run(
        part="fuse",
        dataset=options.dataset,
        name=f"split{options.split} fusion",
        key=run_key(options.split, config, cells),
        params={"fusion": asdict(config), "test_videos": len(next(iter(cells.values())).videos)},
        tags={
            "dataset": options.dataset,
            "modality": "fusion",
            runs.METRICS_TAG: json_sha256(results.plain_rows(metrics)),
            **runs.source_tags(options.dataset, sources),
        },
        made=read_note(fingerprint_of(config, cells)),
    ) as run:
        run.log_metrics(results.run_metrics(metrics, headline))
        run.log_dataset(listed_data(options.dataset, options.split, options.list))
        run.log_artifact(options.metrics)
        run.log_artifact(options.plots)


def run_key(split: int, config: FusionConfig, cells: Mapping[str, VideoScores]) -> dict[str, str]:
    """Return what the split's run is found by."""
    return {"stage": "fuse", "split": str(split), "fingerprint": fingerprint_of(config, cells)}


def fingerprint_of(config: FusionConfig, cells: Mapping[str, VideoScores]) -> str:
    """Return a digest of what is fused, and how."""
    fingerprints = {name: cell.fingerprint for name, cell in cells.items()}
    return json_sha256({**fingerprints, "config": asdict(config)})


def track(options: Options) -> bool:
    """Log a fusion from its files; return False when its run is there already."""
    config, modalities = read_selection(options.dataset)
    cells = load_cells(options, modalities)
    cells |= load_baseline(options, cells)
    return runs.backfill(
        options.dataset,
        run_key(options.split, config, cells),
        "fuse",
        lambda: log_fusion(options, config, config.headline_of(modalities), cells),
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
