"""report: what it says about a dataset, and by what its run is found."""

from pathlib import Path

from stages.report import facts, run_key
from stages.results import Accuracy
from tsn.lists import ListedVideo, SplitLists, write_splits

ROW = Accuracy(mean_class_accuracy=0.5, top1=0.5, top5=1.0, by_tag={})


def listed(*names: str) -> tuple[ListedVideo, ...]:
    return tuple(ListedVideo(f"a/{name}", 0, name, ()) for name in names)


def test_videos_are_counted_over_all_splits(tmp_path: Path) -> None:
    """Lists need not name every video in every split: HMDB51's do not."""
    lists = SplitLists(
        classes=("a",),
        train={1: listed("1", "2"), 2: listed("3"), 10: listed("1")},
        test={1: listed("3"), 2: listed("4"), 10: listed("2")},
    )
    write_splits(lists, tmp_path)
    assert facts(tmp_path) == {
        "Classes": "1",
        "Videos": "4",
        "Train / test": "2 / 1, 1 / 1, 1 / 1",
    }


def test_a_run_is_found_by_the_numbers_of_every_split() -> None:
    better = Accuracy(mean_class_accuracy=0.6, top1=0.5, top5=1.0, by_tag={})
    keys = [
        run_key({1: {"rgb": ROW}, 2: {"rgb": ROW}}),
        run_key({1: {"rgb": ROW}}),
        run_key({1: {"rgb": ROW}, 2: {"rgb": better}}),
    ]
    assert len({key["fingerprint"] for key in keys}) == 3
