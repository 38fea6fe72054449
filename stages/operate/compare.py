"""compare: the challenger against the champion, on the same test videos.

Without `--decide-for` it only shows. With it, the challenger is promoted if the recipe's rule
(`promotion`) says so, and what was decided is written down: for one state of the data, by which
`flows/retrain.py` calls it, it is decided once, however often this is killed and started again.
"""

import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from stages.reporting import comparison_page
from stages.reporting.comparison_page import KEPT, PROMOTED, AgainstChampion, Decision
from stages.runtime import command, params
from stages.runtime.machine import Machine, choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import registry, runs
from stages.tracking.registry import Version
from tsn.metrics import Scores
from tsn.recogniser.comparison import PromotionRule, compare, objections
from tsn.recogniser.folder import load_recogniser_card, read_test_scores, read_trained_on
from tsn.recogniser.recogniser import Recogniser, load_recogniser
from tsn.recogniser.shared_test import SharedTestSet, shared_test_set

# Tags of a version: what was decided, for which data, against whom, and that it was carried out.
VERDICT, DATA, OPPONENT, DONE = "verdict", "data", "compared_with", "carried_out"
NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("promotion",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    recogniser: Path | None = option("the challenger's folder, else by that alias", default=None)
    videos: Path = input_path("folder of the dataset's videos")
    out: Path = output_path("comparison.md, .json, .png")
    decide_for: str | None = option(
        "decide, for this state of the data", default=None, metavar="DATA"
    )


def main(options: Options) -> None:
    rule = params.section(params.load_recipe(options.dataset), "promotion", PromotionRule)
    machine = read_machine()
    challenger = find_challenger(options.dataset, options.recogniser)
    decision = decide(options, challenger, rule, machine)
    if options.decide_for is not None:
        write_down(decision, options.decide_for)
        carry_out(registry.find_number(options.dataset, challenger.number))
    comparison_page.write(decision, options.out)
    if options.decide_for is not None:
        log(options, decision, options.decide_for)
    print((options.out / comparison_page.MARKDOWN).read_text(encoding="utf-8"))


def find_challenger(dataset: str, recogniser: Path | None) -> Version:
    """Return the version of that recogniser, or the challenger; ValueError where there is none."""
    if recogniser is None:
        found, what = (
            registry.find(dataset, registry.CHALLENGER),
            f"{dataset} has no challenger in MLflow",
        )
    else:
        fingerprint = load_recogniser_card(recogniser).fingerprint
        found, what = (
            registry.find_fingerprint(dataset, fingerprint),
            f"{recogniser} is not registered with MLflow",
        )
    if found is None:
        raise ValueError(
            f"{what}; run `tsn repro package@{dataset}`, or `tsn sync` if it is finished"
        )
    return found


def decide(
    options: Options, challenger: Version, rule: PromotionRule, machine: Machine
) -> Decision:
    """Compare the two, or say again what was decided for this data before."""
    known = is_written_down(challenger, options.decide_for) and not is_overtaken(challenger)
    champion = find_champion(challenger, known=known)
    against = (
        compare_with(champion, challenger, options.videos, rule, machine) if champion else None
    )
    reasons = tuple(objections(against.comparison, rule)) if against else ()
    return Decision(
        challenger=challenger,
        against=against,
        rule=rule,
        reasons=reasons,
        verdict=challenger.tags[VERDICT] if known else KEPT if reasons else PROMOTED,
        decided=options.decide_for is not None,
    )


def is_written_down(challenger: Version, data: str | None) -> bool:
    """Return whether there is a verdict for this data."""
    return data is not None and challenger.tags.get(DATA) == data


def is_overtaken(challenger: Version) -> bool:
    """Return whether another version became the champion before the verdict was carried out."""
    if challenger.tags[DONE] == "true" or was_promoted(challenger):
        return False
    champion = registry.find(challenger.model, registry.CHAMPION)
    return (champion.number if champion else NOBODY) != challenger.tags[OPPONENT]


def was_promoted(challenger: Version) -> bool:
    """Return whether it is the champion, or was until it was rolled back."""
    aliases = (registry.CHAMPION, registry.PREVIOUS)
    found = (registry.find(challenger.model, alias) for alias in aliases)
    return challenger.number in [version.number for version in found if version]


def find_champion(challenger: Version, *, known: bool) -> Version | None:
    """Return the champion, or the one of when the verdict was written down; None without any."""
    if not known:
        return registry.find(challenger.model, registry.CHAMPION)
    number = challenger.tags[OPPONENT]
    return None if number == NOBODY else registry.find_number(challenger.model, number)


def compare_with(
    champion: Version, challenger: Version, videos: Path, rule: PromotionRule, machine: Machine
) -> AgainstChampion:
    """Compare their scores of the same videos."""
    with tempfile.TemporaryDirectory() as folder:
        ours = registry.fetch(champion, Path(folder) / "champion")
        theirs = registry.fetch(challenger, Path(folder) / "challenger")
        test = score_shared_test(ours, theirs, videos, machine)
    found = compare(test.champion, test.challenger, test.labels, test.classes, rule.confidence)
    return AgainstChampion(champion=champion, test=test, comparison=found)


def score_shared_test(
    champion: Path, challenger: Path, videos: Path, machine: Machine
) -> SharedTestSet:
    """Return the scores of both folders; what is new to the champion, it scores here."""

    @cache
    def recogniser() -> Recogniser:
        return load_recogniser(champion, choose_device(machine))

    def score(video: str) -> Scores:
        return recogniser().score(videos / video)

    return shared_test_set(
        read_test_scores(champion), read_test_scores(challenger), read_trained_on(champion), score
    )


def write_down(decision: Decision, data: str) -> None:
    """Keep the verdict, before anything follows from it."""
    if not is_written_down(decision.challenger, data) or is_overtaken(decision.challenger):
        opponent = decision.against.champion.number if decision.against else NOBODY
        tags = {OPPONENT: opponent, VERDICT: decision.verdict, DONE: "false", DATA: data}
        registry.set_tags(decision.challenger, tags)


def carry_out(challenger: Version) -> None:
    """Promote what is to be promoted, once: not again what was rolled back since."""
    if challenger.tags[DONE] != "true":
        if challenger.tags[VERDICT] == PROMOTED and not was_promoted(challenger):
            registry.promote(challenger)
        registry.set_tags(challenger, {DONE: "true"})


def log(options: Options, decision: Decision, data: str) -> None:
    """Log the decision as a run. OSError when MLflow did not take it: it is not at its end then."""
    key = {"stage": "retrain", "data": data}
    with runs.run(
        part="retrain",
        dataset=options.dataset,
        name=f"retrain: version {decision.challenger.number} {decision.verdict}",
        key=key,
        params={"promotion": asdict(decision.rule)},
        tags={
            "dataset": options.dataset,
            "modality": "fusion",
            "verdict": decision.verdict,
            "challenger": decision.challenger.number,
            "champion": decision.against.champion.number if decision.against else NOBODY,
        },
    ) as run:
        if decision.against:
            found = decision.against.comparison
            run.log_metrics(
                {
                    "champion/mean_class_accuracy": found.champion,
                    "challenger/mean_class_accuracy": found.challenger,
                    "gain": found.gain,
                    "gain_low": found.interval[0],
                    "gain_high": found.interval[1],
                    "mcnemar_p": found.p_value,
                }
            )
        for name in comparison_page.FILES:
            if (options.out / name).is_file():
                run.log_artifact(options.out / name)
    runs.require_logged(options.dataset, key, "retrain")


if __name__ == "__main__":
    command.run(__doc__, Options, main)
