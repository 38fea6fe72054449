"""What a comparison of two recognisers says, by hand."""

import numpy as np

from stages.reporting.comparison_page import KEPT, AgainstChampion, Decision, markdown
from stages.tracking.registry import Version
from tsn.recogniser.comparison import PromotionRule, compare
from tsn.recogniser.shared_test import SharedTestSet

CLASSES, LABELS = ("wave|hand", "walk"), np.array([0, 0, 1, 1])


def version(number: str) -> Version:
    return Version(model="toy", number=number, run_id="", fingerprint="", tags={})


def test_a_class_with_a_bar_in_its_name_is_one_cell_of_the_table() -> None:
    champion, challenger = np.eye(2, dtype=np.float32)[[[0, 1, 1, 1], [0, 0, 1, 0]]]
    rule = PromotionRule(minimum_gain=0.0, maximum_class_loss=0.1, confidence=0.9)
    test = SharedTestSet(
        classes=CLASSES,
        labels=LABELS,
        champion=champion,
        challenger=challenger,
        num_scored=0,
        num_left_out=0,
    )
    comparison = compare(champion, challenger, LABELS, CLASSES, rule.confidence)
    decision = Decision(
        challenger=version("2"),
        against=AgainstChampion(champion=version("1"), test=test, comparison=comparison),
        stands_in=False,
        rule=rule,
        reasons=(),
        verdict=KEPT,
        decided=True,
    )
    assert list(markdown(decision))[-2:] == [
        "| walk | 2 | 100.0% | 50.0% | -50.0 |",
        "| wave&#124;hand | 2 | 50.0% | 100.0% | +50.0 |",
    ]
