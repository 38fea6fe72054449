"""report: by what its run is found."""

from stages.report import run_key
from stages.reporting.results import Row

ROW = Row(mean_class_accuracy=0.5, top1=0.5, top5=1.0, by_tag={})


def test_a_run_is_found_by_the_numbers_of_every_split() -> None:
    better = Row(mean_class_accuracy=0.6, top1=0.5, top5=1.0, by_tag={})
    keys = [
        run_key({1: {"rgb": ROW}, 2: {"rgb": ROW}}),
        run_key({1: {"rgb": ROW}}),
        run_key({1: {"rgb": ROW}, 2: {"rgb": better}}),
    ]
    assert len({key["fingerprint"] for key in keys}) == 3
