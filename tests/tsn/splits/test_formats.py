"""Lists in the formats they are published in, and every reason to refuse one."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from list_files import (
    UCF101_GROUPS,
    UCF101_VIDEOS,
    split_config,
    ucf101_lists,
    write_lists,
)

from tsn.lists import (
    ListedVideo,
    SplitError,
    SplitLists,
    read_list,
    read_names,
    read_splits,
    write_splits,
)
from tsn.sources.additions import ADDITIONS, Addition, write_additions
from tsn.splits.checks import Spelling
from tsn.splits.formats import Counts, split_lists

# Published HMDB51 names hold all of these characters.
ODD = "#1_A_Walk_(_Part_[2]_);_me&you!_50%_it's~@+x_walk_f_nm_np1_ba_bad_0.avi"


def split_ucf101(folder: Path, **changes: Any) -> SplitLists:
    chosen = split_config("ucf101", group_pattern=UCF101_GROUPS, **changes)
    return split_lists(UCF101_VIDEOS, folder, chosen)


def test_ucf101_as_published(tmp_path: Path) -> None:
    lists = split_ucf101(ucf101_lists(tmp_path))
    assert lists.classes == ("YoYo", "HandstandPushups")
    assert lists.test[1] == (
        ListedVideo("YoYo/v_YoYo_g01_c01.avi", 0, "01", ()),
        ListedVideo("HandstandPushups/v_HandStandPushups_g01_c01.avi", 1, "01", ()),
    )
    assert [(v.label, v.group) for v in lists.train[1]] == [
        *((0, "02"), (0, "03"), (1, "02"), (1, "03"))
    ]


def test_a_name_is_found_by_the_least_difference() -> None:
    """By case before spaces, and not at all where two are as near."""
    names = Spelling(["A/a b.avi", "A/ab.avi", "A/É.avi"])
    assert names.find("A/A b.avi") == "A/a b.avi"
    assert names.find("A/AB.avi") == "A/ab.avi"
    assert names.find("A/a  b.avi") is None
    assert names.find(unicodedata.normalize("NFD", "a/é.avi")) == "A/É.avi"


def test_ucf101_lists_with_windows_line_ends(tmp_path: Path) -> None:
    expected = split_ucf101(ucf101_lists(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert split_ucf101(tmp_path) == expected


def test_each_split_reads_its_own_lists(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    for side in ("train", "test"):
        text = (tmp_path / f"{side}list01.txt").read_text()
        swapped = text.replace("_g01", "_gXX").replace("_g02", "_g01").replace("_gXX", "_g02")
        (tmp_path / f"{side}list02.txt").write_text(swapped)
    chosen = split_config("ucf101", group_pattern=UCF101_GROUPS, splits=2)
    lists = split_lists(UCF101_VIDEOS, tmp_path, chosen)
    assert [{v.group for v in lists.test[k]} for k in (1, 2)] == [{"01"}, {"02"}]
    assert [{v.group for v in lists.train[k]} for k in (1, 2)] == [{"02", "03"}, {"01", "03"}]


def test_fewer_classes_keep_the_order_of_the_list(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    only = split_ucf101(tmp_path, classes=("HandstandPushups",))
    assert only.classes == ("HandstandPushups",)
    assert {v.video.split("/")[0] for v in only.train[1]} == {"HandstandPushups"}
    assert {v.label for v in (*only.train[1], *only.test[1])} == {0}
    both = split_ucf101(tmp_path, classes=("HandstandPushups", "YoYo"))
    assert both == split_ucf101(tmp_path)


def test_tags_are_attached_to_their_videos(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    (tmp_path / "tags.csv").write_text("video,tags\nYoYo/v_YoYo_g01_c01.avi,pan;motion\n")
    tagged = {v.video: v.tags for v in split_ucf101(tmp_path).test[1]}
    assert tagged == {
        "YoYo/v_YoYo_g01_c01.avi": ("pan", "motion"),
        "HandstandPushups/v_HandStandPushups_g01_c01.avi": (),
    }


def test_hmdb51_as_published(tmp_path: Path) -> None:
    write_lists(
        tmp_path,
        {
            "walk_test_split1.txt": f"{ODD} 1 \nplain_walk_0.avi 2 \nunused.avi 0 \n",
            "brush_hair_test_split1.txt": "b1.avi 1 \nb2.avi 2 \n",
        },
    )
    videos = [f"walk/{ODD}", "walk/plain_walk_0.avi", "brush_hair/b1.avi", "brush_hair/b2.avi"]
    lists = split_lists(videos, tmp_path, split_config("hmdb51"))
    assert lists.classes == ("brush_hair", "walk")
    assert [(v.video, v.label) for v in lists.train[1]] == [
        ("brush_hair/b1.avi", 0),
        (f"walk/{ODD}", 1),
    ]
    assert [v.video for v in lists.test[1]] == ["brush_hair/b2.avi", "walk/plain_walk_0.avi"]


@pytest.mark.parametrize("line", ["b3.avi 3", "b3.avi", "b3.avi train"])
def test_hmdb51_line_without_a_code_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "wave_test_split1.txt"
    path.write_text(f"b1.avi 1\n\n{line}\n")
    with pytest.raises(SplitError, match=f"wave_test_split1.txt line 3: expected .*'{line}'"):
        split_lists(["wave/b1.avi"], tmp_path, split_config("hmdb51"))


def test_hmdb51_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"no \*_test_split1.txt in this folder"):
        split_lists(["wave/b1.avi"], tmp_path, split_config("hmdb51"))


NOT_THERE = "YoYo/v_YoYo_g09_c01.avi"
GOOD = UCF101_VIDEOS[1]
OTHERS = UCF101_VIDEOS[4:]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            [GOOD, f"{OTHERS[0]} 1"],
            [],
            "trainlist01.txt line 2: HandstandPushups is class 2 of classInd.txt, the line says 1",
        ),
        (["Foo/a.avi"], [], "trainlist01.txt line 1: unknown class 'Foo', not in .*classInd.txt"),
        ([GOOD, NOT_THERE], [], f"trainlist01.txt line 2: no such video: {NOT_THERE}"),
        ([GOOD], [NOT_THERE], f"testlist01.txt line 1: no such video: {NOT_THERE}"),
        (
            [GOOD, *OTHERS, GOOD],
            [],
            f"trainlist01.txt line 4: {GOOD} is listed twice, first in line 1",
        ),
        (
            [GOOD, *OTHERS],
            [UCF101_VIDEOS[0], GOOD],
            f"testlist01.txt line 2: {GOOD} is in train too .*trainlist01.txt line 1",
        ),
        ([GOOD], [UCF101_VIDEOS[0]], "split 1 has no training video of: HandstandPushups"),
        ([GOOD, *OTHERS], [], "split 1 has no test video of: YoYo, HandstandPushups"),
    ],
)
def test_bad_ucf101_list_is_refused_with_its_line(
    tmp_path: Path, train: list[str], test: list[str], message: str
) -> None:
    ucf101_lists(tmp_path, train=train, test=test)
    with pytest.raises(SplitError, match=message):
        split_ucf101(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2 YoYo\n1 HandstandPushups\n", "line 1: expected `1 name` with a new name, got '2 YoYo'"),
        ("1 YoYo\n2 YoYo\n", "line 2: expected `2 name` with a new name"),
        ("YoYo\nHandstandPushups\n", "line 1: expected `1 name`"),
    ],
)
def test_bad_class_index_is_refused_with_its_line(
    tmp_path: Path, content: str, message: str
) -> None:
    (ucf101_lists(tmp_path) / "classInd.txt").write_text(content)
    with pytest.raises(SplitError, match=f"classInd.txt {message}"):
        split_ucf101(tmp_path)


def test_group_on_both_sides_is_refused(tmp_path: Path) -> None:
    videos = [*UCF101_VIDEOS, "YoYo/v_YoYo_g02_c02.avi"]
    ucf101_lists(tmp_path, test=["YoYo/v_YoYo_g02_c02.avi"])
    chosen = split_config("ucf101", group_pattern=UCF101_GROUPS)
    with pytest.raises(SplitError, match=r"testlist01.txt line 1: group 02 of YoYo is in train"):
        split_lists(videos, tmp_path, chosen)


def test_the_same_group_number_of_two_classes_is_two_groups(tmp_path: Path) -> None:
    ucf101_lists(
        tmp_path,
        train=[UCF101_VIDEOS[1], *UCF101_VIDEOS[3:5]],  # YoYo 02, HandstandPushups 01 and 02
        test=[UCF101_VIDEOS[0], UCF101_VIDEOS[5]],  # YoYo 01, HandstandPushups 03
    )
    assert [v.group for v in split_ucf101(tmp_path).test[1]] == ["01", "03"]


def test_missing_list_is_refused(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    (tmp_path / "testlist01.txt").unlink()
    with pytest.raises(SplitError, match=r"testlist01.txt: no such list"):
        split_ucf101(tmp_path)


def test_class_that_the_lists_do_not_have_is_refused(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    with pytest.raises(SplitError, match=r"\['Juggling'\], which the lists do not have.*YoYo"):
        split_ucf101(tmp_path, classes=("YoYo", "Juggling"))


OWN_VIDEOS = [
    f"{name}/{person}_{take}.mp4" for name in ("b", "a") for person in "uvwxy" for take in (1, 2)
]


@pytest.mark.parametrize("splits", [2, 3, 5])
def test_own_videos_are_each_tested_once_and_groups_stay_together(
    tmp_path: Path, splits: int
) -> None:
    chosen = split_config("folder", group_pattern=r"^(\w)_", splits=splits)
    lists = split_lists(OWN_VIDEOS, tmp_path, chosen)
    assert lists.classes == ("a", "b")
    tested = [v.video for split in lists.test.values() for v in split]
    assert sorted(tested) == sorted(OWN_VIDEOS)
    for split in range(1, splits + 1):
        sides = [{v.group for v in side[split]} for side in (lists.train, lists.test)]
        assert sides[0] & sides[1] == set()
        assert sides[0] | sides[1] == set("uvwxy")
        videos = [v.video for side in (lists.train, lists.test) for v in side[split]]
        assert sorted(videos) == sorted(OWN_VIDEOS)


def test_own_videos_without_groups_are_groups_by_themselves(tmp_path: Path) -> None:
    lists = split_lists(OWN_VIDEOS, tmp_path, split_config("folder", splits=2))
    assert {v.group for v in lists.train[1]} <= {Path(v).name for v in OWN_VIDEOS}
    assert sorted(v.video for k in (1, 2) for v in lists.test[k]) == sorted(OWN_VIDEOS)


def test_the_order_in_which_videos_are_found_does_not_matter(tmp_path: Path) -> None:
    chosen = split_config("folder", group_pattern=r"^(\w)_", splits=3)
    assert split_lists(OWN_VIDEOS[::-1], tmp_path, chosen) == split_lists(
        OWN_VIDEOS, tmp_path, chosen
    )


def test_fewer_groups_than_splits_are_refused(tmp_path: Path) -> None:
    chosen = split_config("folder", group_pattern=r"_(\d)\.", splits=3)
    with pytest.raises(SplitError, match=r"3 leave-groups-out splits.*finds 2: 1, 2"):
        split_lists(OWN_VIDEOS, tmp_path, chosen)


def test_written_lists_come_back(tmp_path: Path) -> None:
    tags = "video,tags\na/u_1.mp4,pan;motion\n"
    write_lists(tmp_path, {"tags.csv": tags})
    odd = [f"c/{ODD}", 'c/with,comma and "quotes".mp4']
    chosen = split_config("folder", splits=2)
    lists = split_lists([*OWN_VIDEOS, *odd], tmp_path, chosen)
    write_splits(lists, tmp_path / "splits")
    assert read_names(tmp_path / "splits/classes.txt") == ("a", "b", "c")
    for split in (1, 2):
        folder = tmp_path / "splits" / str(split)
        assert tuple(read_list(folder / "train.csv")) == lists.train[split]
        assert tuple(read_list(folder / "test.csv")) == lists.test[split]
    assert ("pan", "motion") in {v.tags for v in lists.test[1]} | {v.tags for v in lists.test[2]}


def test_list_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("clip,label\na,0\n")
    with pytest.raises(ValueError, match="expected the columns video,label,group,tags"):
        read_list(tmp_path / "train.csv")


@pytest.mark.parametrize(
    ("list_format", "group_pattern", "splits", "message"),
    [
        ("kinetics", "", 1, "unknown format 'kinetics'; one of: ucf101, hmdb51, folder"),
        ("folder", "", 0, "splits is at least 1, got 0"),
        ("folder", r"g\d", 1, "takes exactly one"),
        ("folder", r"(g)(\d)", 1, "takes exactly one"),
    ],
)
def test_bad_config_is_refused(
    list_format: str, group_pattern: str, splits: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split_config(list_format, group_pattern=group_pattern, splits=splits)


def test_a_video_spelled_in_other_capitals_is_found(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    renamed = [v.replace("HandstandPushups/", "HandStandPushups/") for v in UCF101_VIDEOS]
    lists = split_lists(renamed, tmp_path, split_config("ucf101", group_pattern=UCF101_GROUPS))
    assert lists.classes == ("YoYo", "HandstandPushups")  # as the list spells it
    assert {v.video.split("/")[0] for v in lists.train[1]} == {"YoYo", "HandStandPushups"}
    assert lists.videos == sorted(renamed)
    both = [*UCF101_VIDEOS[:3], *renamed[3:], *(v.upper() for v in renamed[3:])]
    with pytest.raises(SplitError, match="no such video: HandstandPushups"):
        split_lists(both, tmp_path, split_config("ucf101", group_pattern=UCF101_GROUPS))


def test_other_counts_than_the_datasets_are_refused(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    whole = Counts(videos=6, train=(4,), test=(2,))
    assert split_ucf101(tmp_path, counts=whole) == split_ucf101(tmp_path)
    part = split_ucf101(tmp_path, counts=whole, classes=("YoYo",))  # counted before restricting
    assert len(part.videos) == 3
    with pytest.raises(SplitError, match="6 videos, the dataset has 13320"):
        split_ucf101(tmp_path, counts=Counts(videos=13320, train=(4,), test=(2,)))
    with pytest.raises(SplitError, match=r"split 1 lists 4 videos .* and 2 .* has 4 and 3"):
        split_ucf101(tmp_path, counts=Counts(videos=6, train=(4,), test=(3,)))
    with pytest.raises(ValueError, match="counts has lists of other than 2 splits"):
        split_config("ucf101", splits=2, counts=whole)


@pytest.mark.parametrize(
    ("count", "train", "test"),
    [
        # a third of the 18 clips of a class is tested: groups 1 and 4 in split 1
        (2, ["g5_c1"], ["g4_c1"]),
        (3, ["g3_c1", "g6_c1"], ["g4_c1"]),
        (6, ["g2_c1", "g3_c1", "g5_c1", "g6_c1"], ["g1_c1", "g4_c1"]),
        (8, ["g2_c1", "g3_c1", "g5_c1", "g5_c2", "g6_c1"], ["g1_c1", "g4_c1", "g4_c2"]),
    ],
)
def test_fewer_clips_of_a_class_are_of_as_many_groups_as_can_be(
    tmp_path: Path, count: int, train: list[str], test: list[str]
) -> None:
    videos = [f"{c}/g{g}_c{i}.avi" for c in "ab" for g in range(1, 7) for i in range(1, 4)]
    chosen = split_config("folder", group_pattern=r"g(\d)", splits=3, clips_per_class=count)
    lists = split_lists(videos, tmp_path, chosen)
    for side, expected in ((lists.train, train), (lists.test, test)):
        assert [row.video for row in side[1]] == [f"{c}/{e}.avi" for c in "ab" for e in expected]
        assert all(len(side[split]) == 2 * len(expected) for split in (2, 3))


def test_more_clips_than_there_are_keep_all(tmp_path: Path) -> None:
    ucf101_lists(tmp_path)
    assert split_ucf101(tmp_path, clips_per_class=99) == split_ucf101(tmp_path)
    for bad in (1, -1):
        with pytest.raises(ValueError, match=f"clips_per_class is {bad}"):
            split_config("folder", clips_per_class=bad)


def clips_csv(folder: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    lines = ["video,group,split", *(",".join(row) for row in rows)]
    (folder / "clips.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_ones_own_groups_keep_leakage_out(tmp_path: Path) -> None:
    rows = [(f"{c}/{n}.mp4", f"person{n % 3}", "") for c in "ab" for n in range(6)]
    lists = split_lists(
        [r[0] for r in rows], clips_csv(tmp_path, rows), split_config("csv", splits=3)
    )
    assert [sorted({v.group for v in lists.test[k]}) for k in (1, 2, 3)] == [
        ["person0"],
        ["person1"],
        ["person2"],
    ]


def test_ones_own_split_is_taken(tmp_path: Path) -> None:
    rows = [(f"{c}/{n}.mp4", "", "test" if n == 2 else "train") for c in "ab" for n in range(3)]
    videos = [r[0] for r in rows]
    lists = split_lists(videos, clips_csv(tmp_path, rows), split_config("csv"))
    assert [v.video for v in lists.test[1]] == ["a/2.mp4", "b/2.mp4"]
    assert len(lists.train[1]) == 4
    with pytest.raises(SplitError, match="`splits` is 1 then"):
        split_lists(videos, tmp_path, split_config("csv", splits=2))
    clips_csv(tmp_path, [(v, "the same", side) for v, _, side in rows])
    with pytest.raises(SplitError, match=r"clips\.csv line 4: group the same is in train too"):
        split_lists(videos, tmp_path, split_config("csv"))
    other_class = [
        (v, v[0] if side == "train" else "ab"["ba".index(v[0])], side) for v, _, side in rows
    ]
    clips_csv(tmp_path, other_class)
    with pytest.raises(SplitError, match=r"group . is in train too"):
        split_lists(videos, tmp_path, split_config("csv"))


def apart(text: str) -> str:
    """Return a text with its letters and accents apart, as Apple's disks have names."""
    return unicodedata.normalize("NFD", text)


def test_lists_and_disks_that_encode_letters_otherwise_meet(tmp_path: Path) -> None:
    names = ("YoYo", "Übung")
    videos = [f"{name}/é_g0{group}_c.avi" for name in names for group in (1, 2)]
    lines = [f"{apart(video)} {1 + (n > 1)}\n" for n, video in enumerate(videos)]
    write_lists(
        tmp_path,
        {
            "classInd.txt": f"\ufeff1 YoYo\n2 {names[1]}\n",
            "trainlist01.txt": lines[1] + lines[3],
            "testlist01.txt": lines[0] + lines[2],
            "tags.csv": f"\ufeffvideo,tags\n{apart(videos[2])},pan\n",
        },
    )
    chosen = split_config(
        "ucf101", group_pattern=UCF101_GROUPS, classes=(apart(names[1]), names[0])
    )
    lists = split_lists(videos, tmp_path, chosen)
    assert lists.classes == names
    assert [(row.video, row.tags) for row in lists.test[1]] == [
        (videos[0], ()),
        (videos[2], ("pan",)),
    ]
    of_apple = split_lists([apart(video) for video in videos], tmp_path, chosen)
    assert of_apple.videos == sorted(map(apart, videos))


def test_hmdb51_lists_of_another_disk_meet_theirs(tmp_path: Path) -> None:
    write_lists(
        tmp_path, {f"{apart(n)}_test_split1.txt": "é1.avi 1\né2.avi 2\n" for n in ("ü", "ö")}
    )
    videos = [apart(f"{name}/é{clip}.avi") for name in "öü" for clip in (1, 2)]
    lists = split_lists([*map(str, videos)], tmp_path, split_config("hmdb51"))
    assert lists.videos == sorted(videos)


def test_classes_that_differ_a_little_stay_apart(tmp_path: Path) -> None:
    names = ("Walk", "walk", "walk ", "ü", apart("ü"), "None", "7", "007")
    videos = [f"{name}/{clip}.avi" for name in names for clip in (1, 2)]
    lists = split_lists(videos, tmp_path, split_config("folder", splits=2))
    assert lists.classes == tuple(sorted(names))
    assert {lists.classes[row.label] for row in lists.test[1]} == set(names)
    write_splits(lists, tmp_path)
    assert read_names(tmp_path / "classes.txt") == lists.classes


def test_clips_whose_classes_take_turns_are_dealt(tmp_path: Path) -> None:
    videos = [f"{('walk', 'run', 'jump')[n % 3]}/IMG_{n:02}.avi" for n in range(9)]
    lists = split_lists(videos, tmp_path, split_config("folder", splits=3))
    assert sorted(row.video for side in lists.test.values() for row in side) == sorted(videos)
    assert all(len({row.label for row in side}) == 3 for side in lists.test.values())
    with pytest.raises(SplitError, match=r"of 4 groups.*jump has 3 \(IMG_02.avi, IMG_05.avi, IM"):
        split_lists(videos, tmp_path, split_config("folder", splits=4))


def test_groups_that_are_held_back_for_promotion_are_in_no_split(tmp_path: Path) -> None:
    chosen = split_config("folder", group_pattern=r"^(\w)_", splits=2, promotion_share=0.2)
    lists = split_lists(OWN_VIDEOS, tmp_path, chosen)
    assert [row.video for row in lists.promotion] == [
        *("a/u_1.mp4", "a/u_2.mp4", "b/u_1.mp4", "b/u_2.mp4")
    ]
    assert [row.label for row in lists.promotion] == [0, 0, 1, 1]
    kept = sorted(video for video in OWN_VIDEOS if "/u_" not in video)
    assert lists.videos == kept
    for split in (1, 2):
        assert sorted(v.video for v in (*lists.train[split], *lists.test[split])) == kept
    write_splits(lists, tmp_path / "splits")
    assert read_splits(tmp_path / "splits") == lists
    later = [Addition(f"a/{person}_9.mp4", "", "0" * 64) for person in "uv"]
    write_additions(tmp_path / ADDITIONS, later)
    with_later = split_lists([*OWN_VIDEOS, *(row.video for row in later)], tmp_path, chosen)
    added = {v.video for side in with_later.train.values() for v in side} - set(OWN_VIDEOS)
    assert added == {"a/v_9.mp4"} and with_later.promotion == lists.promotion


def test_ones_own_promotion_list_is_taken(tmp_path: Path) -> None:
    sides = ("train", "test", "promotion")
    rows = [(f"{c}/{n}.mp4", f"{n}", sides[n % 3]) for c in "ab" for n in range(6)]
    videos = [r[0] for r in rows]
    lists = split_lists(videos, clips_csv(tmp_path, rows), split_config("csv"))
    assert {row.group for row in lists.promotion} == {"2", "5"}
    assert {row.group for row in lists.train[1]} == {"0", "3"}
    with pytest.raises(SplitError, match="set promotion_share to null"):
        split_lists(videos, tmp_path, split_config("csv", promotion_share=0.2))
    clips_csv(
        tmp_path, [(v, "same" if side != "train" else group, side) for v, group, side in rows]
    )
    with pytest.raises(SplitError, match="group same is in test too"):
        split_lists(videos, tmp_path, split_config("csv"))


@pytest.mark.parametrize(
    ("list_format", "share", "message"),
    [
        ("ucf101", 0.2, "the lists of ucf101 are kept whole; set it to null"),
        ("folder", 0.0, r"promotion_share is in \(0, 0.5\], got 0.0"),
    ],
)
def test_a_share_that_cannot_be_held_back_is_refused(
    list_format: str, share: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split_config(list_format, promotion_share=share)


def test_too_few_groups_to_hold_some_back_are_told(tmp_path: Path) -> None:
    chosen = split_config("folder", group_pattern=r"^(\w)_", splits=2, promotion_share=0.1)
    with pytest.raises(SplitError, match=r"promotion_share 0\.1 of the groups: every class needs"):
        split_lists(OWN_VIDEOS, tmp_path, chosen)
