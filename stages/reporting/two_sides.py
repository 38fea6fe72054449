"""Two results of a dataset side by side: for a terminal, for programs, and as a page.

Accuracies are fractions in 0..1; tables show percent, and a change in points of percent.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stages.reporting.result_tables import NONE, percent
from stages.reporting.results import Row, mean_over_splits
from tsn.files import atomic_path
from tsn.recogniser.card import ReferenceScores
from tsn.recogniser.comparison import ClassChange, Comparison
from tsn.recogniser.paired_tests import PairedTests

TEMPLATE = Path(__file__).with_name("two_sides.html.j2")
WIDTH, VALUE_LENGTH, CLASSES_SHOWN = 100, 44, 20  # in a terminal; the page has all
FUSED = "what is fused"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two: what it is called, what that is in words, and what came of it.

    settings: by dotted name, values as text; all of the recipe's, or those that are known. mean:
    the rows over all of its splits. tests: the headline's scores on each split's test videos, as
    far as they are there. description: what the headline fuses.
    """

    name: str
    what: str
    settings: Mapping[str, str]
    knows_all_settings: bool
    headline: str
    description: str
    mean: Mapping[str, Row]
    splits: Mapping[int, Mapping[str, Row]]
    tests: Mapping[int, ReferenceScores]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of both; None where a side does not have it."""

    name: str
    a: float | None
    b: float | None

    @property
    def change(self) -> float | None:
        """Return what B has more."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting that differs; None where a side does not have it."""

    name: str
    a: str | None
    b: str | None


@dataclass(frozen=True, kw_only=True)
class TwoSides:
    """Two sides, paired by test video; `unpaired` says why where there is no such comparison."""

    dataset: str
    a: Side
    b: Side
    paired: PairedTests | None
    comparison: Comparison | None
    unpaired: str

    @property
    def title(self) -> str:
        """Return what is compared."""
        return f"{self.dataset}: {self.a.name} against {self.b.name}"

    @property
    def file_name(self) -> str:
        """Return what the page is called."""
        names = (re.sub(r"[^\w.-]+", "_", side.name) for side in (self.a, self.b))
        return "_against_".join(names) + ".html"

    @cached_property
    def splits(self) -> tuple[int, ...]:
        """Return the splits that both have results of."""
        return tuple(sorted(self.a.splits.keys() & self.b.splits.keys()))

    @cached_property
    def metrics(self) -> list[Metric]:
        """Return the headline's numbers and every row's mean class accuracy, on shared splits."""
        a, b = (self._rows(side) for side in (self.a, self.b))
        ours, theirs = a.get(self.a.headline), b.get(self.b.headline)
        kinds = {"result": "mean_class_accuracy", "top-1": "top1", "top-5": "top5"}
        found = [
            Metric(name=name, a=getattr(ours, kind, None), b=getattr(theirs, kind, None))
            for name, kind in kinds.items()
        ]
        found += [
            Metric(name=name, a=_accuracy(a.get(name)), b=_accuracy(b.get(name)))
            for name in dict.fromkeys((*b, *a))
        ]
        before, after = (row.by_tag if row else {} for row in (ours, theirs))
        return found + [
            Metric(name=f"result, {tag}", a=before.get(tag), b=after.get(tag))
            for tag in dict.fromkeys((*after, *before))
        ]

    def _rows(self, side: Side) -> Mapping[str, Row]:
        """Return a side's rows over the shared splits, or over its own where none is shared."""
        are_equal = self.a.splits.keys() == self.b.splits.keys() and self.a.mean and self.b.mean
        if not self.splits or are_equal:
            return side.mean
        shared = [side.splits[split] for split in self.splits]
        common = [name for name in shared[0] if all(name in rows for rows in shared)]
        return mean_over_splits([{name: rows[name] for name in common} for rows in shared])

    @cached_property
    def settings(self) -> list[Setting]:
        """Return the settings that differ, of those that are known of both."""
        a, b = ({FUSED: side.description, **side.settings} for side in (self.a, self.b))
        names = list(dict.fromkeys((*a, *b)))
        if self.a.knows_all_settings and self.b.knows_all_settings:
            names.remove(FUSED)  # the recipes say it in numbers
        else:
            names = [name for name in names if name in a and name in b]
        found = (Setting(name=name, a=a.get(name), b=b.get(name)) for name in names)
        return [setting for setting in found if setting.a != setting.b]

    @cached_property
    def classes(self) -> list[ClassChange]:
        """Return the classes whose accuracies differ, the greatest loss first."""
        rows = self.comparison.classes if self.comparison else ()
        return sorted((row for row in rows if row.gain), key=lambda row: row.gain)

    @property
    def verdict(self) -> str:
        """Return which one is better, if that can be told, in a sentence."""
        if self.comparison is None:
            return f"Which one is better cannot be tested: {self.unpaired}."
        low, high = self.comparison.interval
        if self.paired and np.array_equal(self.paired.first, self.paired.second):
            return "Both gave the same scores."
        if low <= 0 <= high:
            return "Which one is better cannot be told from these test videos."
        better = self.b if low > 0 else self.a
        return f"{better.name} is better."

    @property
    def test(self) -> str:
        """Return what the paired comparison found; empty where there is none."""
        if self.comparison is None or self.paired is None:
            return ""
        found = self.comparison
        low, high = found.interval
        return (
            f"{_of_splits(self.paired.splits)}, {found.videos} test videos: {_points(found.gain)} "
            f"points of mean class accuracy, {found.confidence:.0%} interval {_points(low)} to "
            f"{_points(high)} (paired bootstrap). {self._rivalry}"
        )

    @property
    def _rivalry(self) -> str:
        """Say of the paired comparison which side is right more often where the other is wrong."""
        assert self.comparison is not None
        found = self.comparison
        if found.only_champion == found.only_challenger:
            if not found.only_champion:
                return "They are right on the same videos."
            return f"Each alone is right on {found.only_champion} videos: a tie."
        return (
            f"{self.a.name} alone is right on {found.only_champion} videos, {self.b.name} alone on "
            f"{found.only_challenger}: McNemar's test p = {found.p_value:.2g}."
        )

    @property
    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers."""
        notes = [*self.a.notes, *self.b.notes]
        own = [side.splits.keys() for side in (self.a, self.b)]
        if not self.splits and all(own):
            told = (f"{side.name}'s are of {_of_splits(side.splits)}" for side in (self.a, self.b))
            notes.append(f"The accuracies are of different splits: {', '.join(told)}")
        elif own[0] != own[1] and self.splits:
            notes.append(f"The accuracies are of {_of_splits(self.splits)}, which both have")
        if self.paired and self.paired.num_unpaired:
            notes.append(
                f"{self.paired.num_unpaired} test videos only one of the two has, or has with "
                "another content or label: they are not in the paired comparison"
            )
        for side in (self.a, self.b):
            if not side.knows_all_settings:
                notes.append(f"Of {side.name}, only the settings that MLflow keeps are compared")
        return notes


def _accuracy(row: Row | None) -> float | None:
    return row.mean_class_accuracy if row else None


def _of_splits(splits: Sequence[int] | Mapping[int, object]) -> str:
    numbers = sorted(splits)
    return f"split{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _points(change: float | None) -> str:
    """Return a change in points of percent, without a sign where it rounds to nothing."""
    if change is None:
        return ""
    return "0.0" if abs(change) < 0.0005 else f"{100 * change:+.1f}"


def numbers(two: TwoSides, page: Path) -> dict[str, Any]:
    """Return the comparison for programs; accuracies are fractions, a change is B's less A's."""
    found = asdict(two.comparison) if two.comparison else None
    if found and two.paired:
        renamed = {"champion": "a", "challenger": "b"}
        renamed |= {f"only_{old}": f"only_{new}" for old, new in renamed.items()}
        found = {renamed.get(key, key): value for key, value in found.items() if key != "classes"}
        found |= (
            {"gain": two.comparison.gain, "splits": two.paired.splits} if two.comparison else {}
        )
    return {
        "dataset": two.dataset,
        **{
            key: {"name": side.name, "is": side.what, "headline": side.description}
            for key, side in (("a", two.a), ("b", two.b))
        },
        "splits": two.splits,
        "metrics": {row.name: {"a": row.a, "b": row.b} for row in two.metrics},
        "settings": {row.name: {"a": row.a, "b": row.b} for row in two.settings},
        "classes": {
            row.name: {"videos": row.videos, "a": row.champion, "b": row.challenger}
            for row in (two.comparison.classes if two.comparison else ())
        },
        "paired": found,
        "unpaired": two.unpaired or None,
        "verdict": two.verdict,
        "notes": two.notes,
        "page": str(page),
    }


def text(two: TwoSides) -> Iterator[str]:
    """Yield the comparison as lines for a terminal."""
    yield from (two.title, "")
    for letter, side in (("A", two.a), ("B", two.b)):
        yield f"  {letter}  {side.name}: {side.what}"
        yield f"     {side.description}"
    yield from ("", two.verdict)
    yield from textwrap.wrap(two.test[:1].upper() + two.test[1:], WIDTH)
    shared = [row for row in two.metrics if row.change is not None]
    if shared:
        rows = [(row.name, percent(row.a), percent(row.b), _points(row.change)) for row in shared]
        yield from ("", *_columns(("mean class accuracy, %", "A", "B", "change"), rows))
    if two.settings:
        settings = [(row.name, _short(row.a), _short(row.b)) for row in two.settings]
        yield from ("", *_columns(("settings that differ", "A", "B"), settings))
    if two.classes:
        yield from ("", *_class_lines(two.classes))
    for note in two.notes:
        yield from ("", *textwrap.wrap(f"{note}.", WIDTH))


def _class_lines(changes: Sequence[ClassChange]) -> Iterator[str]:
    """Yield the greatest changes, and how many more there are."""
    shown = sorted(changes, key=lambda row: -abs(row.gain))[:CLASSES_SHOWN]
    rows = [
        (
            row.name,
            str(row.videos),
            *map(percent, (row.champion, row.challenger)),
            _points(row.gain),
        )
        for row in sorted(shown, key=lambda row: row.gain)
    ]
    yield from _columns(("classes that differ, %", "videos", "A", "B", "change"), rows)
    if len(changes) > len(shown):
        yield f"and {len(changes) - len(shown)} more, which changed less: the page has them"


def _short(value: str | None) -> str:
    if value is None:
        return NONE
    return value if len(value) <= VALUE_LENGTH else f"{value[: VALUE_LENGTH - 3]}..."


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *others = zip(row, widths, strict=True)
        texts = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        yield "  ".join(texts).rstrip()
        if row is header:
            yield "─" * (sum(widths) + 2 * (len(widths) - 1))


def write_page(two: TwoSides, path: Path) -> None:
    """Write one HTML document that needs no other file and no network."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "points": _points}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(two=two)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
