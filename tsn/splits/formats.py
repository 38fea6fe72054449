"""Train and test lists: the official formats, one's own, and leave-groups-out splits.

A list format is a row of `LIST_FORMATS`: a function (videos, lists folder, config) that reads what
the lists say. All of them are checked and cut to what the recipe keeps in one way.
Videos are ids `<class>/<file name>`; labels are positions in the class list.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tsn.files import read_csv
from tsn.lists import CSV_LIST, TAGS, ListedVideo, SplitError, SplitLists, words
from tsn.names import same_name
from tsn.sources.additions import ADDITIONS, Addition, read_additions, train_on
from tsn.splits.checks import Counts, Line, Spelling, refuse_leaks, refuse_other_counts
from tsn.splits.deal import deal
from tsn.splits.leakage import DROP, KEEP
from tsn.splits.subset import chosen_classes, fewer


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How a dataset is split.

    format: a row of LIST_FORMATS.
    group_pattern: regular expression with one group, searched in the file name; clips of a group
        (a person, a scene) never stand on both sides of a split. None: every clip by itself.
    splits: how many splits there are.
    classes: keep only these classes, in the order of the list; None keeps all.
    clips_per_class: keep only so many clips of a class in every split, training and test at their
        shares, of as many groups as can be; None keeps all.
    counts: what the dataset must have before anything is left out, and without what was added
        later; None: whatever it has.
    leaks: keep or drop training videos that are in the test list, too, under another name.
    promotion_share: the share of the groups that no split has: retraining chooses the champion on
        their videos, so that the accuracy on the test lists stays what it says. None: it chooses on
        the test list.
    """

    format: str
    group_pattern: str | None
    splits: int
    classes: tuple[str, ...] | None
    clips_per_class: int | None
    counts: Counts | None
    leaks: str
    promotion_share: float | None

    def __post_init__(self) -> None:
        if self.promotion_share is not None:
            if not 0 < self.promotion_share <= 0.5:
                raise ValueError(f"promotion_share is in (0, 0.5], got {self.promotion_share}")
            if self.format not in DEALT:
                raise ValueError(
                    f"promotion_share: the lists of {self.format} are kept whole; set it to null"
                )
        if self.leaks not in (KEEP, DROP):
            raise ValueError(f"leaks is {self.leaks!r}, expected {KEEP} or {DROP}")
        if self.classes is not None and not self.classes:
            raise ValueError("classes is empty, expected names, or null for all")
        if self.clips_per_class is not None and self.clips_per_class < 2:
            raise ValueError(
                f"clips_per_class is {self.clips_per_class}, expected 2 or more, or null for all"
            )
        if self.counts and not len(self.counts.train) == len(self.counts.test) == self.splits:
            raise ValueError(f"counts has lists of other than {self.splits} splits")
        if self.format not in LIST_FORMATS:
            raise ValueError(f"unknown format {self.format!r}; one of: {', '.join(LIST_FORMATS)}")
        if self.splits < 1:
            raise ValueError(f"splits is at least 1, got {self.splits}")
        if self.group_pattern is None:
            return
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise ValueError(f"group_pattern {self.group_pattern!r}: {error}") from error
        if groups != 1:
            raise ValueError(f"group_pattern takes exactly one (group), got {self.group_pattern!r}")


def split_lists(videos: Sequence[str], lists: Path, config: SplitConfig) -> SplitLists:
    """Return the splits of a dataset whose videos are `videos`, checked.

    A list that spells a video in other capitals than the file, or encodes its letters otherwise,
    means that file. SplitError, with file and line, for an unknown class, a listed video that is
    not there, a video listed twice or in both train and test, a group on both sides, a class
    without training clips, and for other counts than `config.counts`. What was added to the dataset
    later is trained on only.
    """
    additions = read_additions(lists / ADDITIONS)
    listed = sorted(set(videos) - {row.video for row in additions})
    if config.counts and len(listed) != config.counts.videos:
        raise SplitError(
            f"{len(listed)} videos, the dataset has {config.counts.videos}: fetch it again, or set "
            "`counts` to null if this is what you want"
        )
    contents = LIST_FORMATS[config.format](listed, lists, config)
    found = _checked(listed, contents, config, _read_tags(lists / TAGS))
    return train_on(found, _listed_additions(additions, found.classes, config))


def _listed_additions(
    additions: Sequence[Addition], classes: Sequence[str], config: SplitConfig
) -> list[ListedVideo]:
    rows = []
    for row in additions:
        name = same_name(row.video.split("/")[0], classes)
        if name is not None:
            group = row.group or find_group(row.video, config.group_pattern)
            rows.append(ListedVideo(row.video, classes.index(name), group or row.video, ()))
        elif config.classes is None:
            raise SplitError(f"{ADDITIONS}: {row.video} is of no class of the dataset")
    return rows


class _Contents(NamedTuple):
    """What the lists of a dataset say: `classes`, read from `source`, and the lines of every split.

    groups: of videos, where the lists name them. promotion: the lines that no split has.
    """

    classes: Sequence[str]
    source: Path
    train: Mapping[int, Sequence[Line]]
    test: Mapping[int, Sequence[Line]]
    groups: Mapping[str, str]
    promotion: Sequence[Line] = ()


def _ucf101(_videos: Sequence[str], lists: Path, config: SplitConfig) -> _Contents:
    """Read classInd.txt, trainlist01.txt, testlist01.txt, ... as UCF101 ships them."""
    names = _numbered_classes(lists / "classInd.txt")
    train: dict[int, list[Line]] = {}
    test: dict[int, list[Line]] = {}
    for split in range(1, config.splits + 1):
        for side, out in (("train", train), ("test", test)):
            out[split] = [
                _without_number(line, names) for line in _lines(lists / f"{side}list{split:02}.txt")
            ]
    return _Contents(names, lists / "classInd.txt", train, test, {})


def _numbered_classes(path: Path) -> list[str]:
    """Return the class names of lines `number name`, which count from 1."""
    names: list[str] = []
    for line in _lines(path):
        number, _, name = line.video.partition(" ")
        if number != str(len(names) + 1) or not name or name in names:
            raise line.error(
                f"expected `{len(names) + 1} name` with a new name, got {line.video!r}"
            )
        names.append(name)
    return names


def _without_number(line: Line, names: Sequence[str]) -> Line:
    """Return the line without the class number that a training list ends its lines with."""
    video, _, number = line.video.rpartition(" ")
    if not number.isdigit():
        return line
    name = same_name(video.split("/")[0], names)
    if name is not None and names.index(name) != int(number) - 1:
        raise line.error(
            f"{name} is class {names.index(name) + 1} of classInd.txt, the line says {number}"
        )
    return Line(line.file, line.number, video)


def _hmdb51(_videos: Sequence[str], lists: Path, config: SplitConfig) -> _Contents:
    """Read <class>_test_split<k>.txt with lines `name code`: 1 train, 2 test, 0 unused."""
    suffix = "_test_split1.txt"
    names = sorted(path.name.removesuffix(suffix) for path in lists.glob(f"*{suffix}"))
    if not names:
        raise SplitError(f"{lists}: no *{suffix} in this folder")
    train: dict[int, list[Line]] = defaultdict(list)
    test: dict[int, list[Line]] = defaultdict(list)
    sides = {"0": None, "1": train, "2": test}
    for split in range(1, config.splits + 1):
        for name in names:
            for line in _lines(lists / f"{name}_test_split{split}.txt"):
                clip, _, code = line.video.rpartition(" ")
                if code not in sides:
                    raise line.error(f"expected `name 0|1|2`, got {line.video!r}")
                side = sides[code]
                if side is not None:
                    side[split].append(Line(line.file, line.number, f"{name}/{clip.strip()}"))
    return _Contents(names, lists, train, test, {})


def _folder(videos: Sequence[str], _lists: Path, config: SplitConfig) -> _Contents:
    """Leave groups out."""
    return _leave_groups_out(videos, config, {})


def _csv(videos: Sequence[str], lists: Path, config: SplitConfig) -> _Contents:
    """Read clips.csv, of video, group and split: the one split it says, or leave groups out.

    What it says is for `promotion` is in no split.
    """
    path = lists / CSV_LIST
    groups: dict[str, str] = {}
    sides: dict[str, list[Line]] = {"train": [], "test": [], "promotion": []}
    if not path.is_file():
        raise SplitError(f"{path}: no such list; a source of kind csv writes it")
    for number, row in enumerate(read_csv(path, ("video", "group", "split")), 2):
        groups[row["video"]] = row["group"] or _group(row["video"], config, {})
        if row["split"]:
            sides[row["split"]].append(Line(path, number, row["video"]))
    if not any(sides.values()):
        return _leave_groups_out(videos, config, groups)
    if config.splits != 1:
        raise SplitError(f"{path} says which clips are train and test: `splits` is 1 then")
    if config.promotion_share is not None:
        raise SplitError(f"{path} says which clips are for promotion: set promotion_share to null")
    side_of: dict[str, str] = {}
    for side, lines in sides.items():
        for line in lines:
            group = groups[line.video]
            if side_of.setdefault(group, side) != side:
                raise line.error(f"group {group} is in {side_of[group]} too")
    train, test = ({1: sides[side]} for side in ("train", "test"))
    return _Contents(_folders(videos), path, train, test, groups, sides["promotion"])


def _leave_groups_out(
    videos: Sequence[str], config: SplitConfig, named: Mapping[str, str]
) -> _Contents:
    """Deal the groups to the splits; a split tests on its own. Some are held back before."""
    classes = chosen_classes(_folders(videos), config.classes)
    group_of = {v: _group(v, config, named) for v in videos if v.split("/")[0] in classes}
    groups = sorted(set(group_of.values()))
    if len(groups) < max(config.splits, 2):
        raise SplitError(
            f"{config.splits} leave-groups-out splits need as many groups (and two at least); "
            f"group_pattern {config.group_pattern!r} finds {len(groups)}: {', '.join(groups)}"
        )
    classes_of: dict[str, set[str]] = defaultdict(set)
    for video, group in group_of.items():
        classes_of[group].add(video.split("/")[0])
    held_back = _hold_back(classes_of, config.promotion_share)
    fold = deal({g: c for g, c in classes_of.items() if g not in held_back}, max(config.splits, 2))
    train: dict[int, list[Line]] = defaultdict(list)
    test: dict[int, list[Line]] = defaultdict(list)
    lines = [(g, Line(Path("videos"), n, v)) for n, (v, g) in enumerate(group_of.items(), 1)]
    for split in range(1, config.splits + 1):
        for group, line in lines:
            if group not in held_back:
                side = test if fold[group] == split else train
                side[split].append(line)
    promotion = [line for group, line in lines if group in held_back]
    return _Contents(_folders(videos), Path("videos"), train, test, group_of, promotion)


def _hold_back(classes_of: Mapping[str, Set[str]], share: float | None) -> Set[str]:
    """Return the groups that are held back: about that share of them, with every class."""
    if share is None:
        return set()
    try:
        fold = deal(classes_of, round(1 / share))
    except SplitError as error:
        raise SplitError(f"promotion_share {share} of the groups: {error}") from error
    return {group for group, number in fold.items() if number == 1}


DEALT = ("folder", "csv")  # formats whose groups are the project's to deal

LIST_FORMATS: dict[str, Callable[[Sequence[str], Path, SplitConfig], _Contents]] = {
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "folder": _folder,
    "csv": _csv,
}


def _checked(
    videos: Sequence[str],
    contents: _Contents,
    config: SplitConfig,
    tags: Mapping[str, tuple[str, ...]],
) -> SplitLists:
    """Return what the lists say of videos that are there, of the classes and clips to keep."""
    folders = _folders(videos)
    classes = chosen_classes(contents.classes, config.classes)
    spelled = Spelling(videos)
    tags = {spelled.find(video) or video: words for video, words in tags.items()} | dict(tags)

    def side(lines: Iterable[Line]) -> dict[str, tuple[Line, ListedVideo]]:
        listed: dict[str, tuple[Line, ListedVideo]] = {}
        for line in lines:
            listed_name = line.video.split("/")[0]
            name = same_name(listed_name, contents.classes)
            if name is None:
                raise line.error(
                    f"unknown class {listed_name!r}, not in {contents.source}; the videos have "
                    f"{', '.join(folders[:5])}{', ...' if len(folders) > 5 else ''}"
                )
            if name not in classes:
                continue  # the recipe keeps fewer classes than the list
            video = spelled.find(line.video)
            if video is None:
                raise line.error(f"no such video: {line.video}")
            if video in listed:
                first = listed[video][0].number
                raise line.error(f"{video} is listed twice, first in line {first}")
            label, group = classes.index(name), _group(video, config, contents.groups)
            listed[video] = (line, ListedVideo(video, label, group, tags.get(video, ())))
        return listed

    out_train, out_test = {}, {}
    for split in range(1, config.splits + 1):
        lines = contents.train[split], contents.test[split]
        refuse_other_counts(split, *lines, config.counts, contents.source)
        training, testing = map(side, lines)
        refuse_leaks(split, classes, training, testing)
        out_train[split], out_test[split] = fewer(
            [row for _, row in training.values()],
            [row for _, row in testing.values()],
            config.clips_per_class,
        )
    held_back = tuple(row for _, row in side(contents.promotion).values())
    return SplitLists(classes=classes, train=out_train, test=out_test, promotion=held_back)


def _folders(videos: Iterable[str]) -> list[str]:
    return sorted({video.split("/")[0] for video in videos})


def _group(video: str, config: SplitConfig, named: Mapping[str, str]) -> str:
    """Return the group of a video; its own name, a group by itself, without a pattern."""
    if video in named:
        return named[video]
    name = Path(video).name
    if config.group_pattern is None:
        return name
    group = find_group(video, config.group_pattern)
    if group is None:
        raise SplitError(
            f"{video}: group_pattern {config.group_pattern!r} finds no group in {name!r}; "
            "without groups, clips of one scene leak into the test list (null says there are none)"
        )
    return group


def find_group(video: str, pattern: str | None) -> str | None:
    """Return the group that a pattern finds in a video's file name, None without one."""
    found = re.search(pattern, Path(video).name) if pattern else None
    return found.group(1) if found else None


def _lines(path: Path) -> list[Line]:
    if not path.is_file():
        raise SplitError(f"{path}: no such list; the recipe's split format expects it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SplitError(f"{path}: not UTF-8 ({error}); convert the list") from error
    return [
        Line(path, number, line.strip())
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]


def _read_tags(path: Path) -> dict[str, tuple[str, ...]]:
    if not path.is_file():
        return {}
    return {row["video"]: words(row["tags"]) for row in read_csv(path, ("video", "tags"))}
