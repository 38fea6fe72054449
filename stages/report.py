"""report: the mean over a dataset's splits beside published numbers; table, figures, page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.reporting import dataset_page, dvc_view, learned, page, result_tables, results
from stages.reporting.advice import advise
from stages.reporting.making import SECTIONS, describe_making
from stages.reporting.page import Page
from stages.reporting.published import ListSetting, NetworkSetting, find_published
from stages.reporting.report_figures import (
    LOOK,
    VISUALISE,
    Cells,
    class_accuracies,
    draw_figures,
)
from stages.reporting.results import Results, Row
from stages.reporting.strip import draw_strip
from stages.reporting.tested import count_tested
from stages.reporting.thumbnails import Thumbnails
from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import notes, pipeline_runs, runs
from stages.tracking.data_sets import all_data
from stages.tracking.links import run_link
from stages.tracking.made import read_note, write_note
from tsn.files import json_sha256
from tsn.lists import TEST, TRAIN, ListedVideo, read_list
from tsn.scoring.fusion import FusionConfig, common_videos, fuse
from tsn.scoring.learned import NothingToFitError, fit_splits
from tsn.scoring.scores import (
    BASELINE,
    LEARNED,
    NO_INITIAL_WEIGHTS,
    VideoScores,
    load_scores,
)
from tsn.splits.leakage import unseen_videos

SYNTHETIC = "synthetic"  # the source whose tags are these
TAGS = {
    "appearance": "classes that differ in what a frame shows, and in nothing else",
    "motion": "classes that differ in how something moves, and in nothing else",
    "long": "classes that differ in what lasts longer, over the whole clip",
    "pan": "the camera pans",
    "still": "the camera stands still",
}


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = SECTIONS
    params_sections = ("splits", "modalities")

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    metrics: Path = option("folder of split<k>.json")
    plots: Path = input_path("folder of the plots of train, fuse and look")
    lists: Path = input_path("folder of the split lists")
    scores: Path = input_path("folder of the scores of every split")
    stream: Path = input_path("extracted stream of the first modality, for thumbnails")
    quarantine: Path = input_path("folder of what extract set aside")
    mean: Path = output_path("mean.json")
    summary: Path = output_path("a few numbers, for DVC's tables")
    pictures: Path = output_path("pictures, for DVC's plots")
    out: Path = output_path("tables, figures, page")


def main(options: Options) -> None:
    metrics = sorted(options.metrics.glob("split*.json"))
    with provenance.unchanged(options, [page.TEMPLATE, *metrics]):
        found = read_results(options)
        write(options, found)
    write_note(fingerprint_of(found.splits))
    command.log_finished()


def read_results(options: Options) -> Results:
    """Return the rows of every split of params.yaml, and what the recipe says of them."""
    recipe, settings = params.load_recipe(options.dataset), params.load()
    fusion = params.section(recipe, "fusion", FusionConfig)
    modalities = params.section(settings, "modalities", tuple[str, ...])
    numbers = params.section(settings, "splits", tuple[int, ...])
    splits = {k: results.read_rows(options.metrics / f"split{k}.json") for k in numbers}
    has_baseline = all(BASELINE in rows for rows in splits.values())
    cells = {k: load_cells(options, k, modalities) for k in numbers}
    tested = {k: row[modalities[0]] for k, row in cells.items()}
    train, test = (
        {k: read_list(options.lists / str(k) / side) for k in numbers} for side in (TRAIN, TEST)
    )
    learned: dict[int, dict[str, float]] = {}
    not_run = fusion.not_run(modalities)
    if fusion.learned:
        try:
            learned = fit_splits(cells, unseen_videos(train, test))
        except NothingToFitError as error:
            not_run[LEARNED] = str(error)
    for k, fitted in learned.items():
        splits[k] = results.add_learned(splits[k], fuse(cells[k], fitted), tested[k], test[k])
    weights = fusion.rows(modalities)
    networks = {name: network_setting(recipe, name) for name in modalities}
    lists = list_setting(recipe, train, tested)
    found = {
        name: find_published(options.dataset, row, networks, lists) for name, row in weights.items()
    }
    return Results(
        dataset=options.dataset,
        splits=splits,
        weights=weights,
        headline=fusion.headline_of(modalities),
        wanted=fusion.headline,
        not_run=not_run | ({} if has_baseline else {BASELINE: NO_INITIAL_WEIGHTS}),
        published={name: row for name, row in found.items() if row is not None},
        learned=learned,
        tested=count_tested(tested, test),
    )


def list_setting(
    recipe: params.Settings,
    train: Mapping[int, Sequence[ListedVideo]],
    tested: Mapping[int, VideoScores],
) -> ListSetting:
    """Return which videos were trained on and tested, as far as published numbers depend on it."""
    return ListSetting(
        format=params.section(recipe, "split.format", str),
        videos={split: (len(train[split]), len(cell.videos)) for split, cell in tested.items()},
    )


def load_cells(options: Options, split: int, modalities: Sequence[str]) -> dict[str, VideoScores]:
    """Return the scores of a split's modalities, of the videos that all of them have."""
    names = {name: options.scores / f"{split}/{name}.npz" for name in modalities}
    return common_videos({name: load_scores(path) for name, path in names.items()})


def network_setting(recipe: params.Settings, name: str) -> NetworkSetting:
    """Return what published numbers of a modality's network depend on."""
    network = f"train.{name}.network"
    return NetworkSetting(
        backbone=params.section(recipe, f"{network}.backbone", str),
        consensus=params.section(recipe, f"{network}.consensus", str),
        num_segments=params.section(recipe, f"{network}.num_segments", int),
    )


def write(options: Options, found: Results) -> None:
    """Write every file of the stage."""
    results.write_rows(options.mean, found.mean)
    options.out.mkdir(parents=True, exist_ok=True)
    cells = {split: load_cells(options, split, found.modalities) for split in found.splits}
    dvc_view.write(found, cells, options.plots, options.summary, options.pictures)
    text = page.html_page(describe(options, found, cells))
    (options.out / "index.html").write_text(text, encoding="utf-8")
    table, plain = result_tables.markdown_table(found), result_tables.text_tables(found)
    (options.out / "table.md").write_text(table, encoding="utf-8")
    (options.out / result_tables.TEXT_TABLE).write_text(plain, encoding="utf-8")


def describe(options: Options, found: Results, cells: Cells) -> Page:
    """Return what the page shows."""
    recipe = params.load_recipe(options.dataset)
    thumbnails = Thumbnails(stream=options.stream)
    weights = found.weights[found.headline]
    fused = {split: fuse(row, weights) for split, row in cells.items()}
    right = rows_right(found, cells)
    clips = [
        clip
        for split, row in cells.items()
        for clip in learned.judge(split, fused[split], next(iter(row.values())))
    ]
    accuracies, classes = class_accuracies(options.plots, found)
    counts = found.tested.classes
    gains = learned.fusion_gains(accuracies, classes, found.headline, counts)
    synthetic = SYNTHETIC in params.find(recipe, "source")
    return Page(
        results=found,
        right=int(right[found.headline].sum()),
        advice=advise(found, right),
        tags={tag: TAGS[tag] for tag in found.tested.tags if synthetic and tag in TAGS},
        facts=dataset_page.facts(options.lists),
        listings=dataset_page.listings(options.lists, options.quarantine, found.modalities),
        gallery=dataset_page.gallery(options.lists, thumbnails.middle),
        learned=learned.section(clips, gains, thumbnails.middle),
        strip=draw_strip(cells[min(cells)], weights, found.headline, thumbnails),
        making=describe_making(found, recipe, cells, link_to(options, found)),
        figures=draw_figures(options.plots, options.lists, options.out, found, cells),
    )


def link_to(options: Options, found: Results) -> str:
    """Return where MLflow shows the run of this mean, if a server does."""
    return run_link(options.dataset, fingerprint_of(found.splits))


def rows_right(found: Results, cells: Cells) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which tests each modality and the headline pass, one split after another."""
    return {
        name: np.concatenate(
            [
                fuse(row, found.weights[name]).argmax(axis=1) == next(iter(row.values())).labels
                for row in cells.values()
            ]
        )
        for name in dict.fromkeys([*found.modalities, found.headline])
    }


def log_mean(options: Options, found: Results) -> None:
    """Log the pipeline's run: means over splits, and below it the runs that went into it."""
    data = all_data(options.dataset, options.lists, found.splits)
    with runs.run(
        part="report",
        dataset=options.dataset,
        name="mean over splits",
        key=run_key(options.dataset, found.splits),
        params=pipeline_runs.recipe_values(options.dataset),
        tags={
            "dataset": options.dataset,
            "modality": "fusion",
            "split": "mean",
            "data": data.digest,
            **source_tags(found),
        },
        made=read_note(fingerprint_of(found.splits)),
    ) as run:
        run.log_metrics(results.run_metrics(found.mean, found.headline))
        run.log_dataset(data)
        note = notes.pipeline_note(found.dataset, found.mean, found.headline)
        run.set_tags({notes.NOTE: note})
        run.log_artifact(options.mean)
        run.log_artifact(options.plots / LOOK)
        run.log_artifact(options.plots / VISUALISE)
        run.log_artifact(options.out, "report")
        run.adopt()


def source_tags(found: Results) -> dict[str, str]:
    """Return tags that lead to the runs of the splits."""
    tags = {}
    for split, rows in found.splits.items():
        fused = {name: row for name, row in rows.items() if name != LEARNED}  # not by that stage
        digest = json_sha256(results.plain_rows(fused))
        key = {"stage": "fuse", "split": str(split), runs.METRICS_TAG: digest}
        for run in runs.find_runs(found.dataset, key)[:1]:
            tags[f"source.split{split}"] = run.run_id
    return tags


def run_key(dataset: str, splits: Mapping[int, Mapping[str, Row]]) -> dict[str, str]:
    """Return what the pipeline's run is found by: its results, and the recipe they are of."""
    recipe = pipeline_runs.digest(pipeline_runs.recipe_values(dataset))
    return {
        "stage": pipeline_runs.PIPELINE,
        "fingerprint": fingerprint_of(splits),
        pipeline_runs.RECIPE: recipe,
    }


def fingerprint_of(splits: Mapping[int, Mapping[str, Row]]) -> str:
    """Return a digest of the rows of every split."""
    return json_sha256({str(split): results.plain_rows(rows) for split, rows in splits.items()})


def track(options: Options) -> bool:
    """Log a report from its files; return False when its run is there already."""
    found = read_results(options)
    return runs.backfill(
        options.dataset,
        run_key(options.dataset, found.splits),
        "report",
        lambda: log_mean(options, found),
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
