"""What came of a study: the table, and its order against the published one.

Accuracies are in percent here, as studies.yaml and the papers have them.
"""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.operate.studies import Plan, Run
from stages.reporting.published import OFFICIAL, PUBLISHED
from stages.reporting.results import PER_CLASS_TABLE, mean_over_splits, plain_rows, read_rows
from stages.reporting.study_speed import HEADING, Speed, shown_speed, speed_remark
from stages.runtime.places import DatasetPaths
from tsn.files import json_sha256, read_csv
from tsn.lists import TEST, TRAIN, read_list

MOST_CLASSES = 20  # that are shown, those that change most
SPEED_PNG = "-speed.png"
SEEDS_BELOW = 3.0  # points: a smaller difference needs several seeds to say anything


@dataclass(frozen=True)
class MeanAccuracy:
    """An accuracy: the mean over seeds of the mean over splits, and their sample standard
    deviation (n - 1)."""

    mean: float
    spread: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ± {self.spread:.1f}" if self.seeds > 1 else "")


@dataclass(frozen=True)
class Pair:
    """Two accuracies whose published numbers differ, the higher first, and what was measured."""

    where: str
    higher: str
    lower: str
    published: float
    measured: float
    within_spread: bool

    @property
    def as_published(self) -> bool:
        """Return whether the measured order is the published one."""
        return self.measured > 0

    def __str__(self) -> str:
        doubt = "; no more than the spread over seeds" if self.within_spread else ""
        return (
            f"{self.where}: {self.higher} over {self.lower} by {self.published:.1f} as published, "
            f"{self.measured:+.1f} here{doubt}"
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What came of one run: percent by column, and of the last column by class; the digest of each
    split's metrics; whether videos and networks were those that the published numbers are of; and
    how fast it is, by row of the results, if that was asked for."""

    row: str
    seed: int | None
    accuracies: Mapping[str, float]
    by_class: Mapping[str, float]
    digests: Mapping[int, str]
    of_published_setting: bool
    speed: Speed | None = None

    def speeds(self, plan: Plan) -> dict[str, float]:
        """Return the frames/s of each column; of none where they were not measured."""
        if self.speed is None:
            return {}
        rates = self.speed.frames_per_second
        return {title: rates[name] for title, name in plan.study.columns.items()}


def read_found(run: Run, plan: Plan, tree: Path) -> Found:
    """Return what the metrics of a run's splits say that it has left in a worktree: their means."""
    paths = DatasetPaths(plan.dataset, tree)
    splits = {number: read_rows(paths.split_metrics(number)) for number in plan.splits}
    mean = mean_over_splits(list(splits.values()))
    return Found(
        row=run.row,
        seed=run.seed,
        accuracies={
            title: 100 * mean[name].mean_class_accuracy
            for title, name in plan.study.columns.items()
        },
        by_class=_by_class(
            [paths.plots / str(number) / PER_CLASS_TABLE for number in plan.splits],
            list(plan.study.columns.values())[-1],
        ),
        digests={number: json_sha256(plain_rows(rows)) for number, rows in splits.items()},
        of_published_setting=is_official(run, plan, tree),
    )


def is_official(run: Run, plan: Plan, tree: Path) -> bool:
    """Return whether a run has the official lists, whole, and BN-Inception or the row's network."""
    official = OFFICIAL.get(run.recipe["split"]["format"], {})
    for number in plan.splits:
        folder = DatasetPaths(plan.dataset, tree).splits / str(number)
        if official.get(number) != tuple(len(read_list(folder / name)) for name in (TRAIN, TEST)):
            return False
    networks = [run.recipe["train"][name]["network"] for name in run.modalities]
    named = any(name.endswith(".backbone") for name in plan.study.rows[run.row].set or {})
    return named or all(network["backbone"] == "bn_inception" for network in networks)


def _by_class(paths: Sequence[Path], column: str) -> dict[str, float]:
    """Return the percent of each class, the mean over the splits that test it."""
    found: dict[str, list[float]] = {}
    for path in paths:
        for row in read_csv(path, ("class", column)):
            if row[column]:
                found.setdefault(row["class"], []).append(100 * float(row[column]))
    return {name: statistics.fmean(values) for name, values in found.items()}


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study has found so far, and by row, why it failed or could not be run at all."""

    plan: Plan
    commit: str
    found: Sequence[Found]
    failed: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def title(self) -> str:
        """Return what the study is called, and on what."""
        return f"{self.plan.study.title}, {self.plan.dataset}"

    @property
    def setting(self) -> str:
        """Return on what it was measured, in words."""
        seeds = ", ".join(map(str, self.plan.seeds)) or "of the recipe"
        splits = ", ".join(map(str, self.plan.splits))
        small = ", the small setting of studies.yaml" if self.plan.small else ""
        return f"{self.plan.dataset}{small}, splits {splits}, seeds {seeds}"

    @cached_property
    def accuracies(self) -> dict[str, dict[str, MeanAccuracy]]:
        """Return the table: what was measured, by row and column."""
        rows = dict.fromkeys(found.row for found in self.found)
        return {
            row: {
                column: _over_seeds([f.accuracies[column] for f in self.found if f.row == row])
                for column in self.plan.study.columns
            }
            for row in rows
        }

    @cached_property
    def speeds(self) -> dict[str, dict[str, float]]:
        """Return the frames/s by row and column, the mean over seeds, of what was measured."""
        by_row: dict[str, list[dict[str, float]]] = {}
        for found in self.found:
            if found.speed is not None:
                by_row.setdefault(found.row, []).append(found.speeds(self.plan))
        return {
            row: {name: statistics.fmean(run[name] for run in runs) for name in runs[0]}
            for row, runs in by_row.items()
        }

    @property
    def file_names(self) -> list[str]:
        """Return the names of the files that `write` leaves."""
        suffixes = (".md", ".json", ".png", ".html", *((SPEED_PNG,) if self.speeds else ()))
        return [f"{self.plan.file_name}{suffix}" for suffix in suffixes]

    @property
    def is_of_published_setting(self) -> bool:
        """Return whether the numbers here were measured as the published ones were."""
        study, plan = self.plan.study, self.plan
        same_data = plan.dataset == study.dataset or (
            PUBLISHED.get(plan.dataset) is PUBLISHED.get(study.dataset, ())
        )
        same_run = same_data and not plan.small and sorted(plan.splits) == sorted(study.splits)
        return same_run and all(found.of_published_setting for found in self.found)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Return all pairs whose order was published and measured."""
        study, pairs = self.plan.study, []
        places = list(itertools.product(self.accuracies, study.columns))
        for (row, column), (other, other_column) in itertools.combinations(places, 2):
            same_line = column == other_column if study.compared == "rows" else row == other
            quoted = study.rows[row].published.get(column)
            other_quoted = study.rows[other].published.get(other_column)
            if same_line and quoted is not None and other_quoted not in (None, quoted):
                ends = [(quoted, row, column), (other_quoted, other, other_column)]
                pairs.append(self._pair(*sorted(ends, key=lambda end: -end[0])))
        return pairs

    def _pair(self, high: tuple[float, str, str], low: tuple[float, str, str]) -> Pair:
        by_rows, rows = self.plan.study.compared == "rows", self.plan.study.rows
        best, worst = self.accuracies[high[1]][high[2]], self.accuracies[low[1]][low[2]]
        gain = round(best.mean - worst.mean, 6) or 0.0  # equal means may differ in their last bits
        return Pair(
            where=high[2] if by_rows else rows[high[1]].label,
            higher=rows[high[1]].label if by_rows else high[2],
            lower=rows[low[1]].label if by_rows else low[2],
            published=high[0] - low[0],
            measured=gain,
            within_spread=best.seeds > 1 and abs(gain) <= max(best.spread, worst.spread),
        )

    @property
    def verdict(self) -> str:
        """Return whether the order is the published one, in a sentence."""
        right, count = sum(pair.as_published for pair in self.pairs), len(self.pairs)
        if not self.pairs:
            return "No order to compare: fewer than two of the published numbers were measured."
        there, rows = len(self.accuracies), len(self.plan.study.chosen(()))
        part = "" if there == rows else f" ({there} of {rows} rows)"
        doubtful = sum(pair.within_spread for pair in self.pairs)
        doubt = f" {doubtful} of {count} differences are no more than the spread over seeds."
        end = f"{part}.{doubt if doubtful else ''}"
        if right == count:
            return f"The order is as published, in {right} of {count} pairs{end}"
        return f"The order is not as published: it is in {right} of {count} pairs{end}"

    @property
    def remarks(self) -> list[str]:
        """Return the pairs in another order, and what makes an order uncertain."""
        remarks = [f"Not as published: {pair}." for pair in self.pairs if not pair.as_published]
        close = [pair for pair in self.pairs if abs(pair.measured) < SEEDS_BELOW]
        if close and len(self.plan.seeds) < 3:
            remarks.append(
                f"Differences under {SEEDS_BELOW:.0f} points: {len(close)}. Of these, three seeds "
                "(`--seeds 1,2,3`) say more."
            )
        if speeds := [found.speed for found in self.found if found.speed is not None]:
            remarks.append(speed_remark(speeds, self.plan.study.published_on))
        remarks += [f"{row} failed: {why}" for row, why in self.failed.items()]
        return remarks + [f"{row} cannot be run: {why}" for row, why in self.refused.items()]

    def numbers(self) -> dict[str, Any]:
        """Return the study for programs."""
        study = self.plan.study
        return {
            "study": self.plan.name,
            "dataset": self.plan.dataset,
            "commit": self.commit,
            "small": bool(self.plan.small),
            "splits": list(self.plan.splits),
            "seeds": list(self.plan.seeds),
            "source": study.source,
            "columns": study.columns,
            "rows": {
                row: {
                    "label": study.rows[row].label,
                    "set": study.rows[row].set,
                    "accuracy": {name: asdict(mean) for name, mean in columns.items()},
                    "published": study.rows[row].published,
                    "frames_per_second": self.speeds.get(row, {}),
                    "published_frames_per_second": study.rows[row].published_speed,
                }
                for row, columns in self.accuracies.items()
            },
            "by_class": {row: self._class_means(row) for row in self.accuracies},
            "failed": dict(self.failed),
            "refused": dict(self.refused),
            "as_published": all(pair.as_published for pair in self.pairs) if self.pairs else None,
            "pairs": [{**asdict(pair), "as_published": pair.as_published} for pair in self.pairs],
        }

    def table(self) -> list[list[str]]:
        """Return header and rows of what was measured; published numbers only of this setting."""
        study, beside = self.plan.study, self.is_of_published_setting
        rows = [self._head()]
        for row, columns in self.accuracies.items():
            texts = [str(columns[name]) for name in study.columns]
            if beside:
                quoted = study.rows[row].published
                texts = [
                    f"{text} ({quoted[name]:.1f})" if name in quoted else text
                    for name, text in zip(study.columns, texts, strict=True)
                ]
            rows.append([study.rows[row].label, *self._beside(texts, self.speeds.get(row, {}))])
        return rows

    def _head(self) -> list[str]:
        columns = list(self.plan.study.columns)
        if self.plan.study.speed:
            columns = [title for column in columns for title in (column, HEADING)]
        return ["", *columns]

    def _beside(self, texts: Sequence[str], speeds: Mapping[str, float]) -> list[str]:
        """Return a row's texts, each with its speed behind it where the study measures speeds."""
        study = self.plan.study
        shown = [shown_speed(speeds.get(column)) for column in study.columns]
        pairs = zip(texts, shown, strict=True)
        return [text for pair in pairs for text in pair] if study.speed else list(texts)

    def class_table(self) -> list[list[str]]:
        """Return header and rows: what each row of the study gives a class over the first one.

        In the last column of the study, for the classes that change most. Empty with one row.
        """
        first, *others = self.accuracies
        means = {row: self._class_means(row) for row in self.accuracies}
        changes = {
            name: [means[row][name] - value for row in others]
            for name, value in means[first].items()
            if all(name in means[row] for row in others)
        }
        most = sorted(changes, key=lambda name: -max(map(abs, changes[name]), default=0.0))
        shown = sorted(most[:MOST_CLASSES], key=lambda name: -sum(changes[name]))
        label = {row: self.plan.study.rows[row].label for row in self.accuracies}
        head = ["", *label.values()]
        return [
            head,
            *(
                [name, f"{means[first][name]:.1f}", *(f"{gain:+.1f}" for gain in changes[name])]
                for name in shown
                if others
            ),
        ]

    def _class_means(self, row: str) -> dict[str, float]:
        runs = [found.by_class for found in self.found if found.row == row]
        return {name: statistics.fmean(run[name] for run in runs) for name in runs[0]}

    def published_table(self) -> list[list[str]]:
        """Return header and rows of the published numbers, of this study's rows and quoted ones."""
        study = self.plan.study
        return [
            self._head(),
            *(
                [
                    row.label,
                    *self._beside(
                        [_shown(row.published.get(name)) for name in study.columns],
                        row.published_speed,
                    ),
                ]
                for row in study.rows.values()
                if row.published or row.published_speed
            ),
        ]


def _over_seeds(values: Sequence[float]) -> MeanAccuracy:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return MeanAccuracy(statistics.fmean(values), spread, len(values))


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
