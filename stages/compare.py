"""compare: the challenger against the champion, on the same test videos.

Without `--decide-for` it only shows. With it, the challenger is promoted if the recipe's rule
(`promotion`) says so, and what was decided is written down: for one state of the data, by which
`flows/retrain.py` calls it, it is decided once, however often this is killed and started again.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tsn.recogniser import load_recogniser, read_test_scores, read_trained_on

from stages import command, figures, params, registry, tracking
from stages.machine import Machine, choose_device
from stages.registry import Version
from tsn.atomic import atomic_path
from tsn.common_test import CommonTest, common_test
from tsn.comparison import Comparison, PromotionRule, compare, objections
from tsn.metrics import Scores

PROMOTED, KEPT = "promoted", "not promoted"
VERDICTS = {PROMOTED: "is the champion", KEPT: "is not promoted"}
# Tags of a version: what was decided, for which data, against whom, and that it was carried out.
VERDICT, DATA, OPPONENT, DONE = "verdict", "data", "compared_with", "carried_out"
NOBODY = "nobody"
MARKDOWN, NUMBERS, PICTURE = "comparison.md", "comparison.json", "comparison.png"


@dataclass(frozen=True, kw_only=True)
class Story:
    """A comparison and what follows from it.

    `opponent` is the champion, with whom there is nothing to compare when it is None: the first
    challenger has none. `reasons` are the rule's against a promotion.
    """

    challenger: Version
    opponent: Version | None
    test: CommonTest | None
    comparison: Comparison | None
    reasons: tuple[str, ...]
    verdict: str


def main(args: argparse.Namespace) -> None:
    content = params.load()
    rule = params.section(content, f"recipes.{args.dataset}.promotion", PromotionRule)
    machine = params.section(content, "machine", Machine)
    challenger = registry.find(args.dataset, registry.CHALLENGER)
    if challenger is None:
        raise ValueError(
            f"{args.dataset} has no challenger in MLflow; run `dvc repro package@{args.dataset}`, "
            "and `python -m stages.sync` if MLflow was away"
        )
    story = tell(args, challenger, rule, machine)
    if args.decide_for is not None:
        decide(story, args.decide_for)
        carry_out(registry.find_number(args.dataset, challenger.number))
    write(story, rule, args.out)
    if args.decide_for is not None:
        log(args, story, rule)
    print((args.out / MARKDOWN).read_text(encoding="utf-8"))


def tell(
    args: argparse.Namespace, challenger: Version, rule: PromotionRule, machine: Machine
) -> Story:
    """Compares the two, or says again what was decided for this data before."""
    decided = is_decided(challenger, args.decide_for)
    opponent = find_opponent(challenger, decided=decided)
    test = comparison = None
    if opponent is not None:
        test = meet(opponent, challenger, args.videos, machine)
        comparison = compare(
            test.champion, test.challenger, test.labels, test.classes, rule.confidence
        )
    reasons = tuple(objections(comparison, rule)) if comparison else ()
    return Story(
        challenger=challenger,
        opponent=opponent,
        test=test,
        comparison=comparison,
        reasons=reasons,
        verdict=challenger.tags[VERDICT] if decided else KEPT if reasons else PROMOTED,
    )


def is_decided(challenger: Version, data: str | None) -> bool:
    """Whether a verdict for this data was written down before."""
    return data is not None and challenger.tags.get(DATA) == data


def find_opponent(challenger: Version, *, decided: bool) -> Version | None:
    """Whom the challenger was compared with, or is now: the champion, if there is one."""
    if not decided:
        return registry.find(challenger.model, registry.CHAMPION)
    number = challenger.tags[OPPONENT]
    return None if number == NOBODY else registry.find_number(challenger.model, number)


def meet(champion: Version, challenger: Version, videos: Path, machine: Machine) -> CommonTest:
    """Both recognisers' scores of the same videos."""
    with tempfile.TemporaryDirectory() as folder:
        ours = registry.fetch(champion, Path(folder) / "champion")
        theirs = registry.fetch(challenger, Path(folder) / "challenger")

        def score(video: str) -> Scores:
            return load_recogniser(ours, choose_device(machine)).score(videos / video)

        return common_test(
            read_test_scores(ours), read_test_scores(theirs), read_trained_on(ours), score
        )


def decide(story: Story, data: str) -> None:
    """Writes the verdict down, before anything follows from it."""
    if not is_decided(story.challenger, data):
        opponent = story.opponent.number if story.opponent else NOBODY
        tags = {DATA: data, OPPONENT: opponent, VERDICT: story.verdict, DONE: "false"}
        registry.set_tags(story.challenger, tags)


def carry_out(challenger: Version) -> None:
    """Promotes what is to be promoted, once."""
    if challenger.tags[DONE] != "true":
        if challenger.tags[VERDICT] == PROMOTED:
            registry.promote(challenger)
        registry.set_tags(challenger, {DONE: "true"})


def write(story: Story, rule: PromotionRule, out: Path) -> None:
    """The story as text for people, JSON for programs, and a picture of the classes."""
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / MARKDOWN) as temporary:
        temporary.write_text(markdown(story, rule), encoding="utf-8")
    with atomic_path(out / NUMBERS) as temporary:
        temporary.write_text(json.dumps(numbers(story), indent=2) + "\n", encoding="utf-8")
    (out / PICTURE).unlink(missing_ok=True)
    if story.comparison:
        rows = story.comparison.classes
        accuracies = {
            "champion": [row.champion for row in rows],
            "challenger": [row.challenger for row in rows],
        }
        title = f"Accuracy per class, {story.comparison.videos} test videos"
        figures.per_class_bars(accuracies, [row.name for row in rows], out / PICTURE, title)


def markdown(story: Story, rule: PromotionRule) -> str:
    """What happened, in a screen of text."""
    version, opponent, found = story.challenger, story.opponent, story.comparison
    lines = [f"## {version.model}: version {version.number} {VERDICTS[story.verdict]}", ""]
    if opponent is None or found is None or story.test is None:
        return "\n".join([*lines, "There was no champion to compare it with.", ""])
    low, high = found.interval
    lines += [
        f"Against the champion, version {opponent.number}, on {found.videos} test videos:",
        "",
        "| | champion | challenger |",
        "| --- | ---: | ---: |",
        f"| mean class accuracy | {found.champion:.1%} | {found.challenger:.1%} |",
        f"| right where the other is wrong | {found.only_champion} | {found.only_challenger} |",
        "",
        f"Gain {100 * found.gain:+.1f} points ({found.confidence:.0%} interval "
        f"{100 * low:+.1f} to {100 * high:+.1f}, paired bootstrap); McNemar's test: "
        f"p = {found.p_value:.2g}. The rule asks for {100 * rule.minimum_gain:+.1f} points, and no "
        f"class may lose more than {100 * rule.maximum_class_loss:.1f}.",
        "",
    ]
    if story.test.num_scored:
        lines += [
            f"{story.test.num_scored} videos were new to the champion and scored for this.",
            "",
        ]
    if story.test.num_left_out:
        lines += [f"{story.test.num_left_out} more it was trained on: they count for none.", ""]
    lines += [f"- {reason}" for reason in story.reasons]
    changed = sorted((row for row in found.classes if row.gain), key=lambda row: row.gain)
    if changed:
        lines += ["", "| class | videos | champion | challenger | |", "| --- |" + " ---: |" * 4]
        lines += [
            f"| {row.name} | {row.videos} | {row.champion:.1%} | {row.challenger:.1%} | "
            f"{100 * row.gain:+.1f} |"
            for row in changed
        ]
    return "\n".join([*lines, ""])


def numbers(story: Story) -> dict[str, object]:
    """The story for programs."""
    return {
        "dataset": story.challenger.model,
        "challenger": story.challenger.number,
        "champion": story.opponent.number if story.opponent else None,
        "verdict": story.verdict,
        "reasons": story.reasons,
        "comparison": asdict(story.comparison) if story.comparison else None,
    }


def log(args: argparse.Namespace, story: Story, rule: PromotionRule) -> None:
    """The story as a run. OSError when MLflow did not take it: then it is not at its end."""
    key = {"stage": "retrain", "data": args.decide_for}
    found = story.comparison
    with tracking.run(
        part="retrain",
        dataset=args.dataset,
        name=f"retrain: version {story.challenger.number} {story.verdict}",
        key=key,
        params={"promotion": asdict(rule)},
        tags={
            "dataset": args.dataset,
            "modality": "fusion",
            "verdict": story.verdict,
            "challenger": story.challenger.number,
            "champion": story.opponent.number if story.opponent else NOBODY,
        },
    ) as run:
        if found:
            low, high = found.interval
            run.log_metrics(
                {
                    "champion/mean_class_accuracy": found.champion,
                    "challenger/mean_class_accuracy": found.challenger,
                    "gain": found.gain,
                    "gain_low": low,
                    "gain_high": high,
                    "mcnemar_p": found.p_value,
                }
            )
        run.log_artifact(args.out)
    tracking.require_logged(args.dataset, key, "retrain")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--videos", required=True, type=Path, help="folder of the dataset's videos")
    parser.add_argument("--out", required=True, type=Path, help="out: comparison.md, .json, .png")
    parser.add_argument("--decide-for", metavar="DATA", help="decide, for this state of the data")
    command.run(parser, main)
