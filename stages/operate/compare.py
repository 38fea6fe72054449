"""compare: the challenger against the champion, on the same videos.

Those are the videos that the dataset holds back for promotion (`split.promotion_share`); both score
them here, once each. Where none are held back, they are the challenger's test list.

Where there is no champion, the best of the other versions stands in for it; where there is none
either, the challenger is only proposed: a person promotes the first.

Without `--decide-for` it only shows. With it, the challenger is promoted if the recipe's rule
(`promotion`) says so, and what was decided is written down: for one state of clips and recipe, by
which `flows/retrain.py` calls it, it is decided once, however often this is killed and started
again.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from stages.reporting import comparison_page
from stages.reporting.comparison_page import (
    KEPT,
    PROMOTED,
    PROPOSED,
    AgainstChampion,
    Decision,
)
from stages.runtime import command, params
from stages.runtime.machine import Machine, choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import registry, runs
from stages.tracking.registry import Version
from tsn.files import file_sha256
from tsn.lists import PROMOTION, ListedVideo, read_list
from tsn.metrics import Scores
from tsn.recogniser.card import (
    TEST_SCORES,
    ReferenceScores,
    read_test_scores,
    read_trained_on,
    write_test_scores,
)
from tsn.recogniser.comparison import PromotionRule, compare, objections
from tsn.recogniser.folder import load_recogniser_card
from tsn.recogniser.recogniser import Recogniser, load_recogniser
from tsn.recogniser.shared_test import (
    SharedTestSet,
    held_back_test_set,
    refuse_other_classes,
    shared_test_set,
)
from tsn.streams.contents import VideoError

# Tags of a version: what was decided, for which data, against whom, and that it was carried out.
VERDICT, DATA, OPPONENT, DONE = "verdict", "data", "compared_with", "carried_out"
STANDS_IN = "stood_in_for_the_champion"  # whether the opponent was no champion
NOBODY = "nobody"
SCORED = "held_back"  # in `out`: what each recogniser said of the videos that are held back
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("promotion",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    recogniser: Path | None = option("the challenger's folder, else by that alias", default=None)
    videos: Path = input_path("folder of the dataset's videos")
    lists: Path = option("folder of the dataset's split lists")
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
    stands_in = champion is not None and (
        challenger.tags.get(STANDS_IN) == "true" if known else not is_champion(champion)
    )
    against = compare_with(champion, challenger, options, rule, machine) if champion else None
    reasons: tuple[str, ...] = ()
    verdict = PROPOSED
    if against:
        reasons = tuple(objections(against.comparison, rule))
        if against.champion.number == challenger.number:
            reasons = ("it is the champion already",)
        verdict = KEPT if reasons else PROMOTED
    return Decision(
        challenger=challenger,
        against=against,
        stands_in=stands_in,
        rule=rule,
        reasons=reasons,
        verdict=challenger.tags[VERDICT] if known else verdict,
        decided=options.decide_for is not None,
    )


def is_written_down(challenger: Version, data: str | None) -> bool:
    """Return whether there is a verdict for this data."""
    return data is not None and challenger.tags.get(DATA) == data


def is_overtaken(challenger: Version) -> bool:
    """Return whether another version became the champion before the verdict was carried out."""
    if challenger.tags[DONE] == "true" or was_promoted(challenger):
        return False
    champion = find_opponent(challenger)
    return (champion.number if champion else NOBODY) != challenger.tags[OPPONENT]


def find_opponent(challenger: Version) -> Version | None:
    """Return the champion, or the best other version where there is none; None without any."""
    champion = registry.find(challenger.model, registry.CHAMPION)
    return champion or registry.find_best(challenger.model, but=challenger)


def is_champion(version: Version) -> bool:
    """Return whether it is the champion now."""
    champion = registry.find(version.model, registry.CHAMPION)
    return champion is not None and champion.number == version.number


def was_promoted(challenger: Version) -> bool:
    """Return whether it is the champion, or was until it was rolled back."""
    aliases = (registry.CHAMPION, registry.PREVIOUS)
    found = (registry.find(challenger.model, alias) for alias in aliases)
    return challenger.number in [version.number for version in found if version]


def find_champion(challenger: Version, *, known: bool) -> Version | None:
    """Return the opponent, or the one of when the verdict was written down; None without any."""
    if not known:
        return find_opponent(challenger)
    number = challenger.tags[OPPONENT]
    return None if number == NOBODY else registry.find_number(challenger.model, number)


def compare_with(
    champion: Version, challenger: Version, options: Options, rule: PromotionRule, machine: Machine
) -> AgainstChampion:
    """Compare their scores of the same videos."""
    with tempfile.TemporaryDirectory() as folder:
        ours = registry.fetch(champion, Path(folder) / "champion")
        theirs = registry.fetch(challenger, Path(folder) / "challenger")
        test = score_held_back(ours, theirs, options, machine)
        if test is None:
            test = score_shared_test(ours, theirs, options.videos, machine)
    found = compare(test.champion, test.challenger, test.labels, test.classes, rule.confidence)
    return AgainstChampion(champion=champion, test=test, comparison=found)


def score_held_back(
    champion: Path, challenger: Path, options: Options, machine: Machine
) -> SharedTestSet | None:
    """Return the scores of both folders on the videos held back; None where there are too few."""
    path = options.lists / PROMOTION
    if not path.is_file():
        return None
    listed = read_list(path)
    refuse_other_classes(
        load_recogniser_card(champion).classes, load_recogniser_card(challenger).classes
    )  # before hours of scoring
    digests = {row.video: file_sha256(options.videos / row.video) for row in listed}
    ours = score_list(champion, listed, digests, options, machine)
    theirs = score_list(challenger, listed, digests, options, machine)
    trained_on = read_trained_on(champion) | read_trained_on(challenger)
    return held_back_test_set(ours, theirs, trained_on)


def score_list(
    folder: Path,
    listed: Sequence[ListedVideo],
    digests: Mapping[str, str],
    options: Options,
    machine: Machine,
) -> ReferenceScores:
    """Return the scores of a recogniser on listed videos; those of last time are kept in `out`.

    A video that it cannot read is left out, with a warning.
    """
    card = load_recogniser_card(folder)
    kept = options.out / SCORED / card.fingerprint
    if (kept / TEST_SCORES).is_file():
        before = read_test_scores(kept)
        if dict(zip(before.videos, before.sha256, strict=True)) == digests:
            return before
    recogniser = load_recogniser(folder, choose_device(machine))
    scores: dict[str, Scores] = {}
    text = f"score {len(listed)} videos that are held back"
    for row in command.progress(listed, total=len(listed), unit="video", text=text):
        try:
            scores[row.video] = recogniser.score(options.videos / row.video)
        except VideoError as error:
            logger.warning("left out: %s", error)
    rows = [row for row in listed if row.video in scores]
    found = ReferenceScores(
        classes=card.classes,
        videos=tuple(row.video for row in rows),
        sha256=tuple(digests[row.video] for row in rows),
        labels=np.array([row.label for row in rows], np.int64),
        scores=np.array([scores[row.video] for row in rows]).reshape(-1, len(card.classes)),
    )
    write_test_scores(found, kept)
    return found


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
        stood_in = str(decision.stands_in).lower()
        tags = {OPPONENT: opponent, STANDS_IN: stood_in, VERDICT: decision.verdict}
        tags |= {DONE: "false", DATA: data}  # last, that by which the others count
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
            "compared_on": comparison_page.compared_on(decision.against),
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
