"""What a comparison of two recognisers says, for people, for programs, and as a picture."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.reporting.result_tables import markdown_row
from stages.tracking.registry import ACCURACY, Version
from tsn.files import atomic_path, write_json
from tsn.recogniser.comparison import ClassChange, Comparison, PromotionRule
from tsn.recogniser.shared_test import SharedTestSet

FILES = MARKDOWN, NUMBERS, PICTURE = "comparison.md", "comparison.json", "comparison.png"
PROMOTED, KEPT, PROPOSED = "promoted", "not promoted", "proposed"


@dataclass(frozen=True, kw_only=True)
class AgainstChampion:
    """How the challenger did against the champion."""

    champion: Version
    test: SharedTestSet
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A challenger, how it did against the champion, and what follows.

    against: None where there was nobody to compare it with: then it is proposed, and no more.
    stands_in: whether there was no champion, so that the best of the others stood in for it.
    `reasons` are the rule's against a promotion; `decided` is False for one that was only looked
    at.
    """

    challenger: Version
    against: AgainstChampion | None
    stands_in: bool
    rule: PromotionRule
    reasons: tuple[str, ...]
    verdict: str
    decided: bool

    @property
    def headline(self) -> str:
        """Return the decision in a line."""
        verb = "is" if self.decided else "would be"
        return f"{self.challenger.model}: version {self.challenger.number} {verb} {self.verdict}"


def write(decision: Decision, out: Path) -> None:
    """Write the decision as text for people, JSON for programs, and a picture of the classes."""
    with atomic_path(out / MARKDOWN) as temporary:
        temporary.write_text("\n".join(markdown(decision)) + "\n", encoding="utf-8")
    write_json(out / NUMBERS, numbers(decision))
    (out / PICTURE).unlink(missing_ok=True)
    if decision.against:
        rows = decision.against.comparison.classes
        accuracies = {
            "champion": [row.champion for row in rows],
            "challenger": [row.challenger for row in rows],
        }
        number = decision.against.comparison.videos
        title = f"Accuracy per class, {number} {compared_on(decision.against)}"
        draw_per_class_bars(accuracies, [row.name for row in rows], out / PICTURE, title)


def markdown(decision: Decision) -> Iterator[str]:
    """Yield what happened, in a screen of lines."""
    yield from (f"## {decision.headline}", "")
    if decision.against is None:
        yield "There was no champion, nor another version, to compare it with. The first champion"
        yield f"is a person's choice: {_promotion(decision.challenger)} makes it one."
        return
    found, test = decision.against.comparison, decision.against.test
    number, first = decision.against.champion.number, "champion"
    opponent = f"the champion, version {number}"
    if decision.stands_in:
        opponent, first = f"version {number}, the best of the others", f"version {number}"
    yield from (
        f"Against {opponent}, on {found.videos} {compared_on(decision.against)}:",
        "",
        f"| | {first} | challenger |",
        "| --- | ---: | ---: |",
        f"| mean class accuracy | {found.champion:.1%} | {found.challenger:.1%} |",
        f"| on its own test list | {_tested(decision.against.champion)} | "
        f"{_tested(decision.challenger)} |",
        f"| right where the other is wrong | {found.only_champion} | {found.only_challenger} |",
        "",
        _judgement(found, decision.rule),
        "",
        _fused(decision.against.champion, decision.challenger, first),
    )
    if test.num_scored:
        yield from ("", f"{test.num_scored} videos, new to the champion, were scored for this.")
    if test.num_left_out:
        yield from ("", f"{test.num_left_out} more it was trained on: they do not count.")
    if decision.reasons:
        yield from ("", *(f"- {reason}" for reason in decision.reasons))
    if decision.stands_in and decision.verdict == KEPT:
        yield from ("", f"{_promotion(decision.against.champion)} makes that the champion.")
    changed = sorted((row for row in found.classes if row.gain), key=lambda row: row.gain)
    if changed:
        yield from _class_table(changed, first)


def _promotion(version: Version) -> str:
    """Return the command by which a person makes a version the champion."""
    return f"`tsn promote {version.model} --version {version.number}`"


def compared_on(against: AgainstChampion | None) -> str:
    """Return which videos the two were compared on, in words."""
    if against is None:
        return "nothing"
    return "videos held back for promotion" if against.test.held_back else "test videos"


def _tested(version: Version) -> str:
    """Return the accuracy of a version on the test list it was registered with."""
    known = version.tags.get(ACCURACY)
    return f"{float(known):.1%}" if known else "–"


def _fused(champion: Version, challenger: Version, first: str) -> str:
    """Say what the two fuse."""
    ours, theirs = (row.tags.get("combination", "unknown") for row in (champion, challenger))
    if ours == theirs:
        return f"Both are {ours}."
    return f"The challenger is {theirs}; {first} is {ours}."


def _judgement(found: Comparison, rule: PromotionRule) -> str:
    low, high = (100 * bound for bound in found.interval)
    return (
        f"Gain {100 * found.gain:+.1f} points, {found.confidence:.0%} interval {low:+.1f} to "
        f"{high:+.1f} (paired bootstrap), McNemar's test p = {found.p_value:.2g}. The rule asks "
        f"for {100 * rule.minimum_gain:+.1f}, and that no class loses more than "
        f"{100 * rule.maximum_class_loss:.1f}."
    )


def _class_table(rows: list[ClassChange], first: str) -> Iterator[str]:
    yield from (
        "",
        f"| class | videos | {first} | challenger | change |",
        "| --- |" + " ---: |" * 4,
    )
    for row in rows:
        accuracies = (f"{value:.1%}" for value in (row.champion, row.challenger))
        yield markdown_row([row.name, str(row.videos), *accuracies, f"{100 * row.gain:+.1f}"])


def numbers(decision: Decision) -> dict[str, object]:
    """Return the decision for programs."""
    return {
        "dataset": decision.challenger.model,
        "challenger": decision.challenger.number,
        "champion": decision.against.champion.number if decision.against else None,
        "stands_in": decision.stands_in,
        "verdict": decision.verdict,
        "decided": decision.decided,
        "reasons": decision.reasons,
        "comparison": asdict(decision.against.comparison) if decision.against else None,
    }
