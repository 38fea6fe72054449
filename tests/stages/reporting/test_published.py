"""Published numbers stand beside results of their own setting, and of no other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from stages.reporting.published import (
    OFFICIAL,
    PUBLISHED,
    ListSetting,
    NetworkSetting,
    find_published,
)
from tsn.modality import MODALITIES
from tsn.model.backbones import BACKBONES
from tsn.model.consensus import CONSENSUS

RGB, FLOW, DIFF = {"rgb": 1.0}, {"flow": 1.0}, {"rgb_diff": 1.0}
EVEN, FLOW_1_5 = {"rgb": 1.0, "flow": 1.0}, {"rgb": 1.0, "flow": 1.5}
THREE = {"rgb": 1.0, "flow": 1.0, "warped_flow": 0.5}
AVERAGE = NetworkSetting(backbone="bn_inception", consensus="average", num_segments=3)
ALL = (1, 2, 3)


def lists(splits: Sequence[int], dataset: str = "ucf101") -> ListSetting:
    """The official lists, whole; of a split that is none of theirs, of no videos."""
    form = dataset.partition("_")[0]
    counts = OFFICIAL.get(form, {})
    return ListSetting(format=form, videos={k: counts.get(k, (0, 0)) for k in splits})


def networks(num_segments: int, **others: int) -> Mapping[str, NetworkSetting]:
    """All modalities' networks of one K, but those named."""
    return {
        name: replace(AVERAGE, num_segments=others.get(name, num_segments)) for name in MODALITIES
    }


@pytest.mark.parametrize(
    ("dataset", "weights", "segments", "splits", "expected"),
    [
        ("ucf101", RGB, 3, ALL, (0.851, "K = 3, project page")),
        ("ucf101_paper", RGB, 3, ALL, (0.851, "K = 3, project page")),
        ("ucf101", RGB, 7, ALL, (0.864, "K = 7, journal version")),
        ("ucf101", RGB, 1, ALL, (0.850, "K = 1, journal version")),
        ("ucf101", RGB, 1, (1,), (0.845, "K = 1, ECCV 2016, Table 2")),
        ("ucf101", RGB, 2, ALL, None),
        ("ucf101", DIFF, 7, ALL, (0.877, "K = 7, project page")),
        ("ucf101", DIFF, 3, ALL, None),
        ("ucf101", EVEN, 3, ALL, (0.942, "K = 3, journal version")),
        ("ucf101", FLOW_1_5, 3, ALL, (0.940, "K = 3, project page")),
        ("ucf101", dict(reversed(FLOW_1_5.items())), 3, (3, 1, 2), (0.940, "K = 3, project page")),
        ("ucf101", {"rgb": 1.0, "flow": 2.0}, 3, ALL, None),
        ("ucf101", FLOW_1_5, 3, (1,), (0.935, "K = 3, project page")),
        ("ucf101", THREE, 3, ALL, (0.942, "K = 3, project page")),
        ("ucf101", THREE, 3, (1,), None),
        ("ucf101", THREE, 1, (1,), (0.923, "K = 1, ECCV 2016, Table 2")),
        ("hmdb51", FLOW, 3, (1, 2), ((0.624 + 0.633) / 2, "K = 3, project page")),
        ("hmdb51", EVEN, 3, ALL, None),
        ("hmdb51", RGB, 3, (1, 4), None),
        ("synthetic", RGB, 3, ALL, None),
    ],
)
def test_a_number_is_found_by_its_setting(
    dataset: str,
    weights: Mapping[str, float],
    segments: int,
    splits: tuple[int, ...],
    expected: tuple[float, str] | None,
) -> None:
    found = find_published(dataset, weights, networks(segments), lists(splits, dataset))
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found.accuracy, found.setting) == (pytest.approx(expected[0]), expected[1])


def test_every_network_of_a_combination_has_to_be_of_the_setting() -> None:
    both = {**RGB, **DIFF}
    found = find_published("ucf101", both, networks(7), lists(ALL))
    assert found is not None and found.accuracy == 0.910
    assert find_published("ucf101", both, networks(3, rgb_diff=7), lists(ALL)) is None
    for change in ({"backbone": "bn_inception_half"}, {"consensus": "top:2"}):
        other = {**networks(7), "rgb": replace(AVERAGE, num_segments=7, **change)}
        assert find_published("ucf101", both, other, lists(ALL)) is None
        assert find_published("ucf101", DIFF, other, lists(ALL)) is not None


@pytest.mark.parametrize(
    "other",
    [
        ListSetting(format="folder", videos=OFFICIAL["ucf101"]),
        ListSetting(format="hmdb51", videos=OFFICIAL["hmdb51"]),
        ListSetting(format="ucf101", videos={1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3695)}),
        ListSetting(format="ucf101", videos={1: (9538, 3783), 2: (9586, 3734), 3: (9624, 3696)}),
    ],
)
def test_other_lists_are_another_setting(other: ListSetting) -> None:
    """Lists of one's own; HMDB51's; a test video that could not be scored; a training clip more."""
    assert find_published("ucf101", RGB, networks(3), lists(ALL)) is not None
    found = find_published("ucf101", RGB, networks(3), other)
    assert found is None


def test_single_splits_average_to_their_mean() -> None:
    for rows in PUBLISHED.values():
        for row in rows:
            if len(row.splits) == 3 and row.mean is not None:
                mean = sum(row.splits.values()) / 3
                # Sources of the single splits differ by up to half a point.
                assert mean == pytest.approx(row.mean, abs=0.005), row


def test_no_number_hides_another_one() -> None:
    """Of one setting there is one mean, and one number of each split."""
    for rows in PUBLISHED.values():
        seen = [
            (row.network, frozenset(row.weights.items()), split)
            for row in rows
            for split in (*row.splits, *(["mean"] if row.mean is not None else []))
        ]
        assert len(set(seen)) == len(seen)


def test_settings_are_ones_that_a_recipe_can_have() -> None:
    for row in (row for rows in PUBLISHED.values() for row in rows):
        assert row.network.backbone in BACKBONES and row.network.consensus in CONSENSUS
        assert row.weights.keys() <= MODALITIES.keys()
