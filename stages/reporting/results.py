"""Accuracies of a dataset: read, averaged over splits, and laid out as tables and as a page.

A *row* is one modality (`rgb`) or combination (`rgb+flow`); all values are fractions in 0..1, and
tables show percent.
"""

import base64
import json
import math
import mimetypes
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from stages.reporting.published import Published, find_published

TEMPLATE = Path(__file__).with_name("report.html.j2")


class Accuracy(TypedDict):
    """One row. `by_tag` is the accuracy on the test videos that carry the tag; `spread`, in a mean
    over splits alone, the population standard deviation of the mean class accuracy."""

    mean_class_accuracy: float
    top1: float
    top5: float
    by_tag: dict[str, float]
    spread: NotRequired[float]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """An image file of the page."""

    title: str
    caption: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A table of texts on the page."""

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def not_run_listing(not_run: Mapping[str, str]) -> list[Listing]:
    """Return the fusions that were left out, and why, as a table of the page; none without any."""
    if not not_run:
        return []
    listing = Listing(
        title="Not run",
        caption="Fusions of the recipe whose modalities are not all in params.yaml.",
        header=("Fusion", "Why"),
        rows=list(not_run.items()),
    )
    return [listing]


def load_split(path: Path) -> dict[str, Accuracy]:
    """Return the rows of one split's (or the mean's) metrics file, in the file's order.

    Raises FileNotFoundError without the file, ValueError for a row that is not complete.
    """
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: expected an object of modalities, found {content!r:.60}")
    return {name: _parse_row(f"{path}: {name}", row) for name, row in content.items()}


def _parse_row(where: str, row: object) -> Accuracy:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected an object, found {row!r:.60}")
    tags = row.get("by_tag")
    if not isinstance(tags, dict):
        raise ValueError(f"{where}: by_tag: expected an object, found {tags!r:.60}")
    parsed = Accuracy(
        mean_class_accuracy=_parse_fraction(where, row, "mean_class_accuracy"),
        top1=_parse_fraction(where, row, "top1"),
        top5=_parse_fraction(where, row, "top5"),
        by_tag={tag: _parse_fraction(f"{where}: by_tag", tags, tag) for tag in tags},
    )
    if "spread" in row:
        parsed["spread"] = _parse_fraction(where, row, "spread")
    return parsed


def _parse_fraction(where: str, row: Mapping[str, object], key: str) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{where}: {key}: expected a fraction in 0..1, found {value!r}")
    return float(value)


def mean_over_splits(splits: Sequence[Mapping[str, Accuracy]]) -> dict[str, Accuracy]:
    """Return every row averaged over the splits, with the spread, in the first split's order.

    A tag is averaged over the splits whose test list has it. Raises ValueError when the splits do
    not hold the same rows.
    """
    if not splits:
        raise ValueError("a mean over splits needs at least one split, none came")
    for number, split in enumerate(splits, start=1):
        if split.keys() != splits[0].keys():
            raise ValueError(
                f"the splits do not hold the same rows: the first has {sorted(splits[0])}, "
                f"number {number} has {sorted(split)}"
            )
    return {name: _mean_of_rows([split[name] for split in splits]) for name in splits[0]}


def _mean_of_rows(rows: Sequence[Accuracy]) -> Accuracy:
    tags = dict.fromkeys(tag for row in rows for tag in row["by_tag"])
    accuracies = [row["mean_class_accuracy"] for row in rows]
    return Accuracy(
        mean_class_accuracy=statistics.fmean(accuracies),
        top1=statistics.fmean(row["top1"] for row in rows),
        top5=statistics.fmean(row["top5"] for row in rows),
        by_tag={
            tag: statistics.fmean(row["by_tag"][tag] for row in rows if tag in row["by_tag"])
            for tag in tags
        },
        spread=statistics.pstdev(accuracies),
    )


def is_combination(name: str) -> bool:
    """Return whether a row is a fusion of several modalities."""
    return "+" in name


def order_rows(names: Sequence[str]) -> list[str]:
    """Put single modalities first, then combinations by their number of parts."""
    return sorted(names, key=lambda name: name.count("+"))


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text; the first column is the row's name. `singles` rows come before combinations.

    `headline` is the index of the row that is the dataset's result, where there is one.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    singles: int
    headline: int | None


def result_table(
    mean: Mapping[str, Accuracy],
    splits: Mapping[int, Mapping[str, Accuracy]],
    headline: str,
    paper: Mapping[str, Published] | None,
) -> Table:
    """Mean class accuracy of every row: each split, mean ± spread, top-1, top-5, the paper's.

    `splits` maps the split's number to its rows. One split alone needs no column of means.
    """
    names = order_rows(list(mean))
    published = {name: find_published(paper or {}, name, list(splits)) for name in names}
    against_paper = any(value is not None for value in published.values())
    several = len(splits) > 1
    header = ["", *(f"split {number}" for number in splits)]
    header += ["mean", "top-1", "top-5"] if several else ["top-1", "top-5"]
    rows = []
    for name in names:
        row = mean[name]
        cells = [name, *(_percent(split[name]["mean_class_accuracy"]) for split in splits.values())]
        cells += [_mean_cell(row, len(splits))] if several else []
        cells += [_percent(row["top1"]), _percent(row["top5"])]
        if against_paper:
            cells += _paper_cells(row["mean_class_accuracy"], published[name])
        rows.append(cells)
    return Table(
        header=header + (["paper", "Δ"] if against_paper else []),
        rows=rows,
        singles=sum(not is_combination(name) for name in names),
        headline=names.index(headline),
    )


def tag_result_table(mean: Mapping[str, Accuracy]) -> Table:
    """Accuracy of every row on the videos of each tag; no columns when nothing is tagged."""
    names = order_rows(list(mean))
    tags = list(dict.fromkeys(tag for name in names for tag in mean[name]["by_tag"]))
    return Table(
        header=["", *tags],
        rows=[[n, *(_percent(mean[n]["by_tag"].get(tag)) for tag in tags)] for n in names],
        singles=sum(not is_combination(name) for name in names),
        headline=None,
    )


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


def _mean_cell(row: Accuracy, num_splits: int) -> str:
    shown = _percent(row["mean_class_accuracy"])
    return f"{shown} ± {_percent(row.get('spread', 0.0))}" if num_splits > 1 else shown


def _paper_cells(ours: float, published: float | None) -> list[str]:
    if published is None:
        return ["–", ""]
    return [_percent(published), f"{100 * (ours - published):+.1f}"]


def text_table(
    mean: Mapping[str, Accuracy],
    splits: Mapping[int, Mapping[str, Accuracy]],
    headline: str,
    paper: Mapping[str, Published] | None = None,
) -> str:
    """The result table for a terminal; a star marks the headline."""
    return _draw(result_table(mean, splits, headline, paper))


def tag_table(mean: Mapping[str, Accuracy]) -> str:
    """The table by tag for a terminal; empty when nothing is tagged."""
    table = tag_result_table(mean)
    return _draw(table) if len(table.header) > 1 else ""


def markdown_table(
    mean: Mapping[str, Accuracy],
    splits: Mapping[int, Mapping[str, Accuracy]],
    headline: str,
    paper: Mapping[str, Published] | None = None,
) -> str:
    """The result table in Markdown; the headline is bold."""
    table = result_table(mean, splits, headline, paper)
    lines = [_pipe(table.header), _pipe(["---", *("---:" for _ in table.header[1:])])]
    for index, row in enumerate(table.rows):
        bold = [f"**{cell}**" if cell else "" for cell in row]
        lines.append(_pipe(bold if index == table.headline else row))
    return "\n".join(lines)


def _pipe(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw(table: Table) -> str:
    rows = [list(row) for row in table.rows]
    if table.headline is not None:
        rows[table.headline][0] += " *"
    widths = [max(map(len, column)) for column in zip(table.header, *rows, strict=True)]
    lines = [_align(table.header, widths), "─" * (sum(widths) + 2 * (len(widths) - 1))]
    for index, row in enumerate(rows):
        if index == table.singles and index > 0:
            lines.append("")
        lines.append(_align(row, widths))
    return "\n".join(lines)


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def html_page(
    *,
    dataset: str,
    facts: Mapping[str, str],
    listings: Sequence[Listing],
    mean: Mapping[str, Accuracy],
    splits: Mapping[int, Mapping[str, Accuracy]],
    headline: str,
    paper: Mapping[str, Published] | None,
    figures: Sequence[Figure],
) -> str:
    """One HTML document with everything in it: tables, `facts` and `listings` about the dataset,
    the figures.

    It needs no other file and no network, so it can be mailed. Raises FileNotFoundError for a
    figure that is not there.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text()).render(
        dataset=dataset,
        facts=facts,
        listings=listings,
        headline=headline,
        headline_percent=_mean_cell(mean[headline], len(splits)),
        headline_published=_percent(find_published(paper or {}, headline, list(splits))),
        num_splits=len(splits),
        results=result_table(mean, splits, headline, paper),
        tags=tag_result_table(mean),
        figures=[(figure, _data_uri(figure.path)) for figure in figures],
    )


def _data_uri(path: Path) -> str:
    kind, _ = mimetypes.guess_type(path.name)
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
