"""report: the mean over a dataset's splits beside published numbers; table, figures, page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.reporting import dataset_page, learned, results, summary
from stages.reporting.figures.fusion_bars import draw_fusion_bars
from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.reporting.figures.score_strip import draw_score_strip, evenly
from stages.reporting.figures.tag_bars import draw_tag_bars
from stages.reporting.figures.training_curves import draw_training_curves
from stages.reporting.published import NetworkSetting, find_published
from stages.reporting.results import Figure, Results, Row
from stages.reporting.tables import read_table
from stages.reporting.thumbnails import Thumbnails
from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import runs
from stages.tracking.made import read_note, write_note
from tsn.files import json_sha256
from tsn.lists import TEST, TRAIN, read_list
from tsn.modality import modality
from tsn.scoring.fusion import FusionConfig, common_videos, fuse
from tsn.scoring.learned import NothingToFitError, fit_weights, held_out_scores
from tsn.scoring.scores import (
    BASELINE,
    LEARNED,
    NO_INITIAL_WEIGHTS,
    VideoScores,
    load_scores,
)
from tsn.snippets.sampling import testing_starts
from tsn.splits.leakage import LEAKED

LOOK, VISUALISE = "look.png", "visualise.jpg"  # of the stages of these names


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("fusion", "train")
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
    with provenance.unchanged(options, [results.TEMPLATE, *metrics]):
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
    learned: dict[int, dict[str, float]] = {}
    not_run = fusion.not_run(modalities)
    if fusion.learned:
        try:
            splits, learned = with_learned(options, splits, modalities)
        except NothingToFitError as error:
            not_run[LEARNED] = str(error)
    weights = fusion.rows(modalities)
    networks = {name: network_setting(recipe, name) for name in modalities}
    found = {
        name: find_published(options.dataset, row, networks, numbers)
        for name, row in weights.items()
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
    )


def with_learned(
    options: Options, splits: Mapping[int, dict[str, Row]], modalities: Sequence[str]
) -> tuple[dict[int, dict[str, Row]], dict[int, dict[str, float]]]:
    """Return the splits with a row of all modalities under fitted weights, and the weights.

    Videos that are listed as leaks are not fitted on: networks have seen them. NothingToFitError
    where no video is left, or one modality alone.
    """
    if len(modalities) < 2:
        raise NothingToFitError("one modality alone needs no weight")
    cells = {k: load_cells(options, k, modalities) for k in splits}
    tests = {k: read_list(options.lists / str(k) / TEST) for k in splits}
    leaked = {video.video for test in tests.values() for video in test if LEAKED in video.tags}
    found, weights = {}, {}
    for split, rows in splits.items():
        training = {video.video for video in read_list(options.lists / str(split) / TRAIN)}
        weights[split] = fit_weights(*held_out_scores(cells, split, training - leaked))
        fused = {LEARNED: fuse(cells[split], weights[split])}
        row = results.measure(fused, cells[split][modalities[0]], tests[split])
        networks = {name: rows[name] for name in rows if name != BASELINE}
        found[split] = {**networks, **row, **rows}
    return found, weights


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
    per_class, classes = class_accuracies(options.plots, found)
    summary.write(
        found, cells, per_class, classes, options.plots, options.summary, options.pictures
    )
    page = results.html_page(
        found,
        dataset_page.facts(options.lists),
        dataset_page.listings(options.lists, options.quarantine, found.modalities),
        what_they_learned(options, found, cells),
        [*draw(options, found), draw_strip(options, found, cells[min(cells)])],
    )
    (options.out / "index.html").write_text(page, encoding="utf-8")
    (options.out / "table.md").write_text(results.markdown_table(found), encoding="utf-8")
    (options.out / "table.txt").write_text(results.text_tables(found), encoding="utf-8")


def draw(options: Options, found: Results) -> list[Figure]:
    """Return the figures of the page, drawn into the report's folder."""
    first = min(found.splits)
    shown = [
        Figure(
            "Modalities and fusions",
            "Mean class accuracy over the splits; the whisker is the spread, the dashed line the "
            "baseline.",
            options.out / "fusion.png",
        ),
        Figure(
            "Classes",
            "Accuracy per class, mean over the splits.",
            options.out / "per_class.png",
        ),
        Figure(
            "Training",
            f"Loss, accuracy and learning rate of split {first}'s networks.",
            options.out / "training.png",
        ),
    ]
    bars, classes, curves = (figure.path for figure in shown)
    draw_fusion_bars(found, bars)
    draw_classes(options.plots, found, classes)
    logs = options.plots / str(first) / "training"
    tables = {name: read_table(logs / f"{name}.csv") for name in found.modalities}
    draw_training_curves(tables, curves, f"Training, split {first}")
    if any(row.by_tag for row in found.mean.values()):
        caption = "Accuracy over the test videos that carry a tag."
        shown.append(Figure("Kinds of video", caption, options.out / "tags.png"))
        draw_tag_bars(found.mean, shown[-1].path)
    caption = "A few videos as every modality has them."
    look = Figure("What the networks see", caption, options.plots / LOOK)
    caption = (
        f"What each network of split {first} looks for in a class: a picture that was made from "
        "noise so that the network takes it for the class. The percentage is the probability that "
        "the network then gives it. Of flow: x and y, where grey is no motion, and in colours. "
        "The command tsn visualise draws others."
    )
    wanted = Figure("What the networks look for", caption, options.plots / VISUALISE)
    return [*shown, look, wanted, *dataset_page.pictures(options.lists, options.out)]


def draw_classes(plots: Path, found: Results, path: Path) -> None:
    """Draw the accuracy per class of modalities and headline, mean over the splits' tables."""
    rows, classes = class_accuracies(plots, found)
    draw_per_class_bars(rows, classes, path)


def class_accuracies(
    plots: Path, found: Results
) -> tuple[dict[str, npt.NDArray[np.floating]], list[str]]:
    """Return the accuracies of modalities and headline per class, mean over the splits' tables,
    and the classes."""
    tables = [read_table(plots / str(split) / "per_class.csv", "class") for split in found.splits]
    mean = pd.concat(tables).groupby("class", sort=False).mean()
    rows = {name: mean[name].to_numpy() for name in [*found.modalities, found.headline]}
    return rows, [str(name) for name in mean.index]


def what_they_learned(
    options: Options, found: Results, cells: Mapping[int, Mapping[str, VideoScores]]
) -> learned.Learned:
    """Return what the page says of the test clips of every split, as the headline judges them."""
    weights = found.weights[found.headline]
    clips = [
        clip
        for split, row in cells.items()
        for clip in learned.judge(split, fuse(row, weights), next(iter(row.values())))
    ]
    gains = learned.fusion_gains(*class_accuracies(options.plots, found), found.headline)
    return learned.section(clips, gains, Thumbnails(stream=options.stream).middle)


def draw_strip(options: Options, found: Results, cells: Mapping[str, VideoScores]) -> Figure:
    """Draw the scores over time of the clip whose snippets disagree most, above its frames."""
    shares = learned.snippet_shares(cells, found.weights[found.headline])
    cell, place = next(iter(cells.values())), learned.most_changing(shares)
    video, length = cell.videos[place], modality(cell.modality).snippet_length
    thumbnails = Thumbnails(stream=options.stream)
    count = shares.shape[1]
    entries = max(thumbnails.entries(video), length)
    starts = [int(start) for start in testing_starts(entries, count, length)]
    truth = cell.classes[cell.labels[place]]
    frames = thumbnails.images(video, [starts[index] for index in evenly(count)])
    path = options.out / "strip.jpg"
    draw_score_strip(shares[place], cell.classes, truth, starts, frames, path)
    caption = (
        f"{video} of split {cell.split}, whose snippets {found.headline} takes for the most "
        f"different classes: the probability of each class in %, snippet by snippet. It is {truth}."
    )
    return Figure("Scores over time", caption, path)


def log_mean(options: Options, found: Results) -> None:
    """Log the dataset's run: means over splits, tagged with the runs of the splits."""
    with runs.run(
        part="report",
        dataset=options.dataset,
        name="mean over splits",
        key=run_key(found.splits),
        params={"splits": sorted(found.splits), "learned": found.learned},
        tags={
            "dataset": options.dataset,
            "modality": "fusion",
            "split": "mean",
            **source_tags(found),
        },
        made=read_note(fingerprint_of(found.splits)),
    ) as run:
        run.log_metrics(results.run_metrics(found.mean))
        run.log_artifact(options.mean)
        run.log_artifact(options.plots / LOOK)
        run.log_artifact(options.plots / VISUALISE)
        run.log_artifact(options.out, "report")


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


def run_key(splits: Mapping[int, Mapping[str, Row]]) -> dict[str, str]:
    """Return what the dataset's run is found by."""
    return {"stage": "report", "fingerprint": fingerprint_of(splits)}


def fingerprint_of(splits: Mapping[int, Mapping[str, Row]]) -> str:
    """Return a digest of the rows of every split."""
    return json_sha256({str(split): results.plain_rows(rows) for split, rows in splits.items()})


def track(options: Options) -> bool:
    """Log a report from its files; return False when its run is there already."""
    found = read_results(options)
    return runs.backfill(
        options.dataset,
        run_key(found.splits),
        "report",
        lambda: log_mean(options, found),
    )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
