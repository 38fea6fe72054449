"""Accuracies laid out as tables: for a terminal, in Markdown, and for the page. In percent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.reporting.results import Results, Row, is_combination, is_modality
from stages.reporting.tested import VideoCounts, wilson_interval
from tsn.scoring.scores import BASELINE

TEXT_TABLE = "table.txt"  # what the report writes for a terminal
NONE = "–"
INTERVAL = "95 %"  # the heading of its column


@dataclass(frozen=True, kw_only=True)
class Table:
    """Texts in rows; the first column is the row's name. `singles` rows come before combinations.

    `headline` is the index of the row that is the dataset's result, where there is one, `baseline`
    that of the baseline.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    singles: int
    headline: int | None
    baseline: int | None


def result_table(results: Results, names: Mapping[str, str]) -> Table:
    """Return the accuracy of every row: mean ± spread and its interval first, then each split,
    top-1, top-5, the published one.

    `names` are what the rows are called. Of one split alone, its number is the mean.
    """
    published, order = results.published, list(results.mean)
    several, few = len(results.splits) > 1, results.tested.few
    splits = list(results.splits) if several else []
    header = ["", "mean" if several else f"split {min(results.splits)}", INTERVAL]
    header += [*(f"split {number}" for number in splits), "top-1", "top-5"]
    rows = []
    for name, row in results.mean.items():
        of_splits = (results.splits[k][name].mean_class_accuracy for k in splits)
        texts = [names[name], mean_text(row, several=several, few=few)]
        texts += [interval_text(row.mean_class_accuracy, results.tested)]
        texts += [percent(value, few=few) for value in (*of_splits, row.top1, row.top5)]
        if name in published:
            gain = row.mean_class_accuracy - published[name].accuracy
            texts += [percent(published[name].accuracy), f"{100 * gain:+.1f}"]
            texts += [published[name].setting]
        elif published:
            texts += ["–", "", ""]
        rows.append(texts)
    return Table(
        header=header + (["published", "Δ", "setting"] if published else []),
        rows=rows,
        singles=len(results.modalities),
        headline=order.index(results.headline),
        baseline=order.index(BASELINE) if BASELINE in order else None,
    )


def tag_result_table(results: Results) -> Table:
    """Return the accuracy of every row on each tag's videos, whose number is in the heading; no
    columns when nothing is tagged."""
    mean, counts = results.mean, results.tested.tags
    tags = list(dict.fromkeys(tag for row in mean.values() for tag in row.by_tag))
    rows = [
        [n, *(percent(row.by_tag.get(t), few=results.tested.few) for t in tags)]
        for n, row in mean.items()
    ]
    return Table(
        header=["", *(f"{tag} ({counts[tag]})" for tag in tags)],
        rows=rows,
        singles=sum(map(is_modality, mean)),
        headline=list(mean).index(results.headline),
        baseline=list(mean).index(BASELINE) if BASELINE in mean else None,
    )


def percent(fraction: float | None, *, few: bool = False) -> str:
    """Return a fraction in percent, without decimals where `few` videos stand behind it."""
    return NONE if fraction is None else f"{100 * fraction:.{0 if few else 1}f}"


def mean_text(row: Row, *, several: bool, few: bool) -> str:
    """Return the mean class accuracy, with its spread over several splits."""
    shown = percent(row.mean_class_accuracy, few=few)
    return f"{shown} ± {percent(row.spread, few=few)}" if several else shown


def interval_text(fraction: float, tested: VideoCounts) -> str:
    """Return the interval of a mean class accuracy, in percent."""
    low, high = wilson_interval(fraction, tested.weight)
    return f"{percent(low, few=tested.few)}–{percent(high, few=tested.few)}"


def tested_note(tested: VideoCounts) -> str:
    """Return what stands behind the numbers, and what the interval says."""
    counts = ", ".join(str(count) for count in tested.splits.values())
    split = f" ({counts} in the splits)" if len(tested.splits) > 1 else ""
    few = " They are too few for decimals." if tested.few else ""
    return (
        f"{tested.videos} test videos{split}.{few} {INTERVAL}: Wilson's interval for so many, as "
        "if each were a draw of its own. Clips of one scene are right or wrong together, so it is "
        "rather too narrow."
    )


def text_tables(results: Results) -> str:
    """Return the tables for a terminal, by split and by tag; a star marks the headline.

    What is fused stands below: the tables are wide.
    """
    tags = tag_result_table(results)
    names = {name: name for name in results.mean}
    tables = [result_table(results, names), *([tags] if len(tags.header) > 1 else [])]
    fused = [results.descriptions[name] for name in results.weights if is_combination(name)]
    legend = ["\n".join(fused)] if fused else []
    return _paragraphs([*map(_draw, tables), *legend, *all_notes(results)])


def markdown_table(results: Results) -> str:
    """Return the result table in Markdown; the headline is bold."""
    table = result_table(results, results.descriptions)
    lines = [markdown_row(table.header), markdown_row(["---", *("---:" for _ in table.header[1:])])]
    for index, row in enumerate(table.rows):
        bold = [f"**{text}**" if text else "" for text in row]
        italic = [f"*{text}*" if text else "" for text in row]
        lines.append(markdown_row({table.headline: bold, table.baseline: italic}.get(index, row)))
    return _paragraphs(["\n".join(lines), *all_notes(results)])


def all_notes(results: Results) -> list[str]:
    """Return what is said below the table."""
    return [tested_note(results.tested), *results.notes]


def _paragraphs(texts: Sequence[str]) -> str:
    return "\n\n".join(texts) + "\n"


def markdown_row(texts: Sequence[str]) -> str:
    """Return a row of a table in Markdown; a class may have a bar in its name."""
    return f"| {' | '.join(text.replace('|', '&#124;') for text in texts)} |"


def _draw(table: Table) -> str:
    rows = [list(row) for row in table.rows]
    if table.headline is not None:
        rows[table.headline][0] += " *"
    widths = [max(map(len, column)) for column in zip(table.header, *rows, strict=True)]
    lines = [_align(table.header, widths), "─" * (sum(widths) + 2 * (len(widths) - 1))]
    for index, row in enumerate(rows):
        if index in (table.singles, table.baseline) and index > 0:
            lines.append("")
        lines.append(_align(row, widths))
    return "\n".join(lines)


def _align(texts: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        text.ljust(width) if index == 0 else text.rjust(width)
        for index, (text, width) in enumerate(zip(texts, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()
