"""What the report says of a dataset: facts in words, and their picture."""

from pathlib import Path

import cv2
import pytest

from stages.reporting import dataset_page
from tsn.files import write_csv
from tsn.lists import ListedVideo, SplitLists, write_splits
from tsn.splits.leakage import BACKDROP, SAME_BYTES, SAME_SCENE, Findings, Leak, write_leaks
from tsn.splits.survey import Facts, write_facts


def listed(*names: str) -> tuple[ListedVideo, ...]:
    return tuple(ListedVideo(f"a/{name}", 0, name, ()) for name in names)


def facts_of(width: int, frames: int, defect: str = "", *, more: int = 0) -> Facts:
    return Facts(
        width=width,
        height=240,
        frames_per_second=0.0 if defect else 25.0,
        counted=frames + more,
        frames=frames,
        hashes=(),
        decoder="" if defect else "decord",
        defect=defect,
    )


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Lists that do not name every video in every split, as HMDB51's do not."""
    splits = SplitLists(
        classes=("a",),
        train={1: listed("1", "2"), 2: listed("3"), 10: listed("1")},
        test={1: listed("3"), 2: listed("4"), 10: listed("2")},
    )
    write_splits(splits, tmp_path)
    write_facts(
        tmp_path / "survey.csv",
        {
            "a/1": facts_of(320, 50),
            "a/2": facts_of(320, 100, more=-1),
            "a/3": facts_of(176, 250, more=46),
            "a/4": facts_of(0, 0, "no video"),
        },
    )
    leaks = [Leak("a/3", "a/1", SAME_BYTES, 0.0), Leak("a/3", "a/2", SAME_SCENE, 2.0)]
    found = {1: Findings(leaks, []), 2: Findings([], [Leak("a/4", "a/3", BACKDROP, 3.0)])}
    write_leaks(tmp_path / "leaks.csv", found | {10: Findings([], [])})
    return tmp_path


def test_facts_by_hand(lists: Path) -> None:
    assert dataset_page.facts(lists) == {
        "Classes": "1",
        "Videos": "4",
        "Train / test": "2 / 1, 1 / 1, 1 / 1",
        "Clips a class": "4",
        "Length, seconds": "2 to 10, half up to 4",
        "In all": "0.3 minutes, 400 frames",
        "Size, pixels": "320x240 (2), 176x240 (1)",
        "Frames a second": "25",
        "Test videos that show a training video's scene, by split": "1, 0, 0",
        "Test videos before a backdrop that many share, by split": "0, 1, 0",
        "Cannot be read": "1",
        "Headers that miscount": "2",
    }


def test_what_is_wrong_is_listed_with_who_found_it(lists: Path, tmp_path: Path) -> None:
    both, short = ("a/4", "no video"), ("a/<1>", "3 frames, expected at least 6")
    write_csv(tmp_path / "q/rgb.csv", ("video", "reason"), [both])
    write_csv(tmp_path / "q/flow.csv", ("video", "reason"), [short, both])
    set_aside, miscounted = dataset_page.listings(lists, tmp_path / "q", ["rgb", "flow"])
    assert set_aside.rows == [("a/4", "split, rgb, flow", "no video"), (short[0], "flow", short[1])]
    assert miscounted.rows == [("a/3", "296", "250"), ("a/2", "99", "100")]
    assert set_aside.caption.endswith("modality.")


def test_listings_are_bounded_and_empty_ones_left_out(lists: Path, tmp_path: Path) -> None:
    sound = {f"a/{number}": facts_of(320, 50) for number in range(3)}
    write_facts(lists / "survey.csv", sound)
    write_csv(tmp_path / "q/rgb.csv", ("video", "reason"), [])
    assert dataset_page.listings(lists, tmp_path / "q", ["rgb"]) == []
    lies = {f"a/{number}": facts_of(320, 50, more=1) for number in range(23)}
    write_facts(lists / "survey.csv", lies)
    (listing,) = dataset_page.listings(lists, tmp_path / "q", ["rgb"])
    assert len(listing.rows) == 20
    assert listing.caption.endswith(f"; 3 more are in {lists / 'survey.csv'}.")


def test_the_picture_grows_with_the_classes(lists: Path, tmp_path: Path) -> None:
    dataset_page.draw(lists, tmp_path / "few.png")
    (lists / "classes.txt").write_text("".join(f"class {i}\n" for i in range(60)))
    dataset_page.draw(lists, tmp_path / "many.png")
    few, many = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("few", "many"))
    assert many.shape[0] > 2 * few.shape[0] and few.std() > 10
