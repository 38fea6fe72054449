"""What a comparison of two recognisers says, for people, for programs, and as a picture."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.reporting.figures.per_class_bars import draw_per_class_bars
from stages.tracking.registry import Version
from tsn.files import atomic_path, write_json
from tsn.recogniser.comparison import ClassChange, Comparison, PromotionRule
from tsn.recogniser.shared_test import SharedTestSet

FILES = MARKDOWN, NUMBERS, PICTURE = "comparison.md", "comparison.json", "comparison.png"
PROMOTED, KEPT = "promoted", "not promoted"


@dataclass(frozen=True, kw_only=True)
class AgainstChampion:
    """How the challenger did against the champion."""

    champion: Version
    test: SharedTestSet
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A challenger, how it did against the champion (None: there was none), and what follows.

    `reasons` are the rule's against a promotion; `decided` is False for one that was only looked
    at.
    """

    challenger: Version
    against: AgainstChampion | None
    rule: PromotionRule
    reasons: tuple[str, ...]
    verdict: str
    decided: bool

    @property
    def headline(self) -> str:
        """Return the decision in a line."""
        verb = "is" if self.decided else "would be"
        if self.verdict == KEPT:
            verb += " not"
        return f"{self.challenger.model}: version {self.challenger.number} {verb} promoted"


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
        title = f"Accuracy per class, {decision.against.comparison.videos} test videos"
        draw_per_class_bars(accuracies, [row.name for row in rows], out / PICTURE, title)


def markdown(decision: Decision) -> Iterator[str]:
    """Yield what happened, in a screen of lines."""
    yield from (f"## {decision.headline}", "")
    if decision.against is None:
        yield "There was no champion to compare it with."
        return
    found, test = decision.against.comparison, decision.against.test
    yield from (
        f"Against the champion, version {decision.against.champion.number}, on {found.videos} test "
        "videos:",
        "",
        "| | champion | challenger |",
        "| --- | ---: | ---: |",
        f"| fused | {_fused(decision.against.champion)} | {_fused(decision.challenger)} |",
        f"| mean class accuracy | {found.champion:.1%} | {found.challenger:.1%} |",
        f"| right where the other is wrong | {found.only_champion} | {found.only_challenger} |",
        "",
        _judgement(found, decision.rule),
    )
    if test.num_scored:
        yield from ("", f"{test.num_scored} videos, new to the champion, were scored for this.")
    if test.num_left_out:
        yield from ("", f"{test.num_left_out} more it was trained on: they do not count.")
    if decision.reasons:
        yield from ("", *(f"- {reason}" for reason in decision.reasons))
    changed = sorted((row for row in found.classes if row.gain), key=lambda row: row.gain)
    if changed:
        yield from _class_table(changed)


def _fused(version: Version) -> str:
    return version.tags.get("combination", "–")


def _judgement(found: Comparison, rule: PromotionRule) -> str:
    low, high = (100 * bound for bound in found.interval)
    return (
        f"Gain {100 * found.gain:+.1f} points, {found.confidence:.0%} interval {low:+.1f} to "
        f"{high:+.1f} (paired bootstrap), McNemar's test p = {found.p_value:.2g}. The rule asks "
        f"for {100 * rule.minimum_gain:+.1f}, and that no class loses more than "
        f"{100 * rule.maximum_class_loss:.1f}."
    )


def _class_table(rows: list[ClassChange]) -> Iterator[str]:
    yield from (
        "",
        "| class | videos | champion | challenger | change |",
        "| --- |" + " ---: |" * 4,
    )
    for row in rows:
        yield (
            f"| {row.name} | {row.videos} | {row.champion:.1%} | {row.challenger:.1%} | "
            f"{100 * row.gain:+.1f} |"
        )


def numbers(decision: Decision) -> dict[str, object]:
    """Return the decision for programs."""
    return {
        "dataset": decision.challenger.model,
        "challenger": decision.challenger.number,
        "champion": decision.against.champion.number if decision.against else None,
        "verdict": decision.verdict,
        "decided": decision.decided,
        "reasons": decision.reasons,
        "comparison": asdict(decision.against.comparison) if decision.against else None,
    }
