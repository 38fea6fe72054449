"""Train and test lists: the official formats, and leave-groups-out splits of one's own videos.

A list format is a row of `LIST_FORMATS`: a function (videos, lists folder, config) -> SplitLists.
Videos are ids `<class>/<file name>`; labels are positions in the class list.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsn.atomic import atomic_path

COLUMNS = ("video", "label", "group", "tags")


@dataclass(frozen=True)
class ListedVideo:
    """A line of a split list. Tags are free words that results can be broken down by."""

    video: str
    label: int
    group: str
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SplitLists:
    """Class names in label order, and per split its training and test videos."""

    classes: tuple[str, ...]
    train: dict[int, tuple[ListedVideo, ...]]
    test: dict[int, tuple[ListedVideo, ...]]


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How a dataset is split.

    format: a row of LIST_FORMATS.
    group_pattern: regular expression with one group, searched in the file name; clips of a group
        (a person, a scene) never stand on both sides of a split. Empty: every clip by itself.
    splits: how many splits there are.
    classes: keep only these classes, in this order of the official list; empty keeps all.
    """

    format: str
    group_pattern: str
    splits: int
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.format not in LIST_FORMATS:
            raise ValueError(f"unknown format {self.format!r}; one of: {', '.join(LIST_FORMATS)}")
        if self.splits < 1:
            raise ValueError(f"splits is at least 1, got {self.splits}")
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise ValueError(f"group_pattern {self.group_pattern!r}: {error}") from error
        if self.group_pattern and groups != 1:
            raise ValueError(f"group_pattern takes exactly one (group), got {self.group_pattern!r}")


class SplitError(ValueError):
    """A list that cannot be used as it is."""


def split_lists(videos: Sequence[str], lists: Path, config: SplitConfig) -> SplitLists:
    """The splits of a dataset whose videos are `videos`, checked.

    SplitError, with file and line, for an unknown class, a listed video that is not there, a video
    listed twice or in both train and test, a group on both sides, a class without training clips.
    """
    tags = _read_tags(lists / "tags.csv")
    return LIST_FORMATS[config.format](sorted(videos), lists, config, tags)


def write_splits(lists: SplitLists, folder: Path) -> None:
    """`classes.txt`, and `<k>/train.csv`, `<k>/test.csv` for every split."""
    with atomic_path(folder / "classes.txt") as temporary:
        temporary.write_text("".join(f"{name}\n" for name in lists.classes), encoding="utf-8")
    for split in lists.train:
        for side, listed in (("train", lists.train[split]), ("test", lists.test[split])):
            with (
                atomic_path(folder / str(split) / f"{side}.csv") as temporary,
                temporary.open("w", newline="", encoding="utf-8") as file,
            ):
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)
                for video in listed:
                    writer.writerow((video.video, video.label, video.group, ";".join(video.tags)))


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names in label order."""
    return tuple(path.read_text(encoding="utf-8").splitlines())


def read_list(path: Path) -> list[ListedVideo]:
    """A list written by `write_splits`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and tuple(rows[0]) != COLUMNS:
        raise SplitError(f"{path}: expected the columns {','.join(COLUMNS)}, got {list(rows[0])}")
    return [
        ListedVideo(row["video"], int(row["label"]), row["group"], _words(row["tags"]))
        for row in rows
    ]


# -- formats ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """Where a list names a video."""

    file: Path
    number: int
    video: str

    def error(self, text: str) -> SplitError:
        return SplitError(f"{self.file} line {self.number}: {text}")


Tags = Mapping[str, tuple[str, ...]]


def _ucf101(videos: Sequence[str], lists: Path, config: SplitConfig, tags: Tags) -> SplitLists:
    """classInd.txt, trainlist01.txt, testlist01.txt, ... as UCF101 ships them."""
    names = _numbered_classes(lists / "classInd.txt")
    train: dict[int, list[_Line]] = {}
    test: dict[int, list[_Line]] = {}
    for split in range(1, config.splits + 1):
        for side, out in (("train", train), ("test", test)):
            out[split] = [
                _without_number(line, names) for line in _lines(lists / f"{side}list{split:02}.txt")
            ]
    return _assemble(videos, names, train, test, config, tags, lists / "classInd.txt")


def _numbered_classes(path: Path) -> list[str]:
    """The class names of lines `number name`, which count from 1."""
    names: list[str] = []
    for line in _lines(path):
        number, _, name = line.video.partition(" ")
        if number != str(len(names) + 1) or not name or name in names:
            raise line.error(
                f"expected `{len(names) + 1} name` with a new name, got {line.video!r}"
            )
        names.append(name)
    return names


def _without_number(line: _Line, names: Sequence[str]) -> _Line:
    """The line without the class number that a training list ends its lines with."""
    video, _, number = line.video.rpartition(" ")
    if not number.isdigit():
        return line
    name = video.split("/")[0]
    if name in names and names.index(name) != int(number) - 1:
        raise line.error(
            f"{name} is class {names.index(name) + 1} of classInd.txt, the line says {number}"
        )
    return _Line(line.file, line.number, video)


def _hmdb51(videos: Sequence[str], lists: Path, config: SplitConfig, tags: Tags) -> SplitLists:
    """<class>_test_split<k>.txt with lines `name code`: 1 train, 2 test, 0 unused."""
    suffix = "_test_split1.txt"
    names = sorted(path.name.removesuffix(suffix) for path in lists.glob(f"*{suffix}"))
    if not names:
        raise SplitError(f"{lists}: no *{suffix} in this folder")
    train: dict[int, list[_Line]] = defaultdict(list)
    test: dict[int, list[_Line]] = defaultdict(list)
    sides = {"0": None, "1": train, "2": test}
    for split in range(1, config.splits + 1):
        for name in _chosen_classes(names, config):
            for line in _lines(lists / f"{name}_test_split{split}.txt"):
                clip, _, code = line.video.rpartition(" ")
                if code not in sides:
                    raise line.error(f"expected `name 0|1|2`, got {line.video!r}")
                side = sides[code]
                if side is not None:
                    side[split].append(_Line(line.file, line.number, f"{name}/{clip.strip()}"))
    return _assemble(videos, names, train, test, config, tags, lists)


def _folder(videos: Sequence[str], _lists: Path, config: SplitConfig, tags: Tags) -> SplitLists:
    """Leave-groups-out: the sorted groups are dealt to the splits; a split tests on its own."""
    names = sorted({video.split("/")[0] for video in videos})
    classes = _chosen_classes(names, config)
    chosen = [video for video in videos if video.split("/")[0] in classes]
    groups = sorted({_group(video, config) for video in chosen})
    if len(groups) < max(config.splits, 2):
        raise SplitError(
            f"{config.splits} leave-groups-out splits need as many groups (and two at least); "
            f"group_pattern {config.group_pattern!r} finds {len(groups)}: {', '.join(groups)}"
        )
    fold = {group: index % max(config.splits, 2) + 1 for index, group in enumerate(groups)}
    train: dict[int, list[_Line]] = defaultdict(list)
    test: dict[int, list[_Line]] = defaultdict(list)
    for split in range(1, config.splits + 1):
        for number, video in enumerate(chosen, 1):
            side = test if fold[_group(video, config)] == split else train
            side[split].append(_Line(Path("videos"), number, video))
    return _assemble(videos, names, train, test, config, tags, Path("videos"))


Format = Callable[[Sequence[str], Path, SplitConfig, Tags], SplitLists]
LIST_FORMATS: dict[str, Format] = {"ucf101": _ucf101, "hmdb51": _hmdb51, "folder": _folder}


# -- checks -----------------------------------------------------------------------------------


def _assemble(
    videos: Sequence[str],
    names: Sequence[str],
    train: Mapping[int, Iterable[_Line]],
    test: Mapping[int, Iterable[_Line]],
    config: SplitConfig,
    tags: Tags,
    class_source: Path,
) -> SplitLists:
    present = frozenset(videos)
    folders = sorted({video.split("/")[0] for video in videos})
    classes = _chosen_classes(names, config)

    def side(lines: Iterable[_Line]) -> dict[str, tuple[_Line, ListedVideo]]:
        listed: dict[str, tuple[_Line, ListedVideo]] = {}
        for line in lines:
            name = line.video.split("/")[0]
            if name not in names:
                raise line.error(
                    f"unknown class {name!r}, not in {class_source}; the videos have "
                    f"{', '.join(folders[:5])}{', ...' if len(folders) > 5 else ''}"
                )
            if name not in classes:
                continue  # the recipe keeps fewer classes than the list
            if line.video not in present:
                raise line.error(f"no such video: {line.video}")
            if line.video in listed:
                first = listed[line.video][0].number
                raise line.error(f"{line.video} is listed twice, first in line {first}")
            listed[line.video] = (
                line,
                ListedVideo(
                    line.video,
                    classes.index(name),
                    _group(line.video, config),
                    tags.get(line.video, ()),
                ),
            )
        return listed

    out_train, out_test = {}, {}
    for split in range(1, config.splits + 1):
        training, testing = side(train[split]), side(test[split])
        _refuse_leaks(split, classes, training, testing)
        out_train[split] = tuple(listed for _, listed in training.values())
        out_test[split] = tuple(listed for _, listed in testing.values())
    return SplitLists(classes=classes, train=out_train, test=out_test)


def _refuse_leaks(
    split: int,
    classes: tuple[str, ...],
    training: Mapping[str, tuple[_Line, ListedVideo]],
    testing: Mapping[str, tuple[_Line, ListedVideo]],
) -> None:
    for video, (line, _) in testing.items():
        if video in training:
            other = training[video][0]
            raise line.error(f"{video} is in train too ({other.file} line {other.number})")
    trained = {(listed.label, listed.group) for _, listed in training.values()}
    for line, listed in testing.values():
        if listed.group and (listed.label, listed.group) in trained:
            raise line.error(
                f"group {listed.group} of {classes[listed.label]} is in train too (split {split})"
            )
    for side, lines in (("training", training), ("test", testing)):
        without = set(range(len(classes))) - {listed.label for _, listed in lines.values()}
        if without:
            names = ", ".join(classes[label] for label in sorted(without))
            raise SplitError(
                f"split {split} has no {side} video of: {names}; the mean over classes needs them "
                "all: add videos, change the groups, or leave the class out (`classes`)"
            )


def _chosen_classes(names: Sequence[str], config: SplitConfig) -> tuple[str, ...]:
    unknown = [name for name in config.classes if name not in names]
    if unknown:
        raise SplitError(f"classes names {unknown}, which the lists do not have: {list(names)}")
    return tuple(name for name in names if not config.classes or name in config.classes)


def _group(video: str, config: SplitConfig) -> str:
    """The group of a video; its own name, a group by itself, without a pattern."""
    name = Path(video).name
    if not config.group_pattern:
        return name
    found = re.search(config.group_pattern, name)
    if found is None:
        raise SplitError(
            f"{video}: group_pattern {config.group_pattern!r} finds no group in {name!r}; "
            'without groups, clips of one scene leak into the test list ("" says there are none)'
        )
    return found.group(1)


def _lines(path: Path) -> list[_Line]:
    if not path.is_file():
        raise SplitError(f"{path}: no such list; the recipe's split format expects it")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SplitError(f"{path}: not UTF-8 ({error}); convert the list") from error
    return [
        _Line(path, number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]


def _read_tags(path: Path) -> Tags:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {"video", "tags"} <= set(reader.fieldnames or ()):
            raise SplitError(f"{path}: expected the columns video,tags, got {reader.fieldnames}")
        return {row["video"]: _words(row["tags"]) for row in reader}


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(";") if word)
