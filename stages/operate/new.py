"""A recipe for one's own videos, written after a look at them.

The recipe is a copy of another one with what depends on the videos changed: where they lie, how
their names group them, the shape of their frames, and how long many clips are trained on. Every
other number stays as it is there.
"""

import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from stages.operate import check
from stages.operate.clips import Clips, thin_classes
from stages.operate.coming import SPLITS, look, measured, some
from stages.operate.cost import (
    cells_of,
    counted,
    quick_cells,
    readable_size,
    seconds_of,
    spoken,
    stream_bytes,
)
from stages.runtime import params
from stages.runtime.machine import count_cores
from stages.runtime.places import NEW_CLIPS
from tsn.files import atomic_path
from tsn.lists import SplitError, SplitLists
from tsn.names import first_few, is_utf8, near_equal, shown
from tsn.sources.csv_file import CsvConfig, listed_videos, write_clips
from tsn.sources.folder import SourceError, find_videos
from tsn.splits.checks import least_to_most, refuse_one_class
from tsn.splits.formats import SplitConfig, split_lists
from tsn.splits.groups import guesses
from tsn.splits.survey import Facts

HEADER = """\
# {name}: written by `tsn new` like {like}. Every number of this dataset.
# Change one here, or for one experiment:
#   dvc exp run -S '{path}:train.rgb.network.dropout=0.5'

"""
SHOWN, MOST_NAMED = 5, 100
WIDEST = 1.8  # sides of a frame, at most
PASSES = 12  # of a training through its clips, at least: about what ucf101_four has
BUILT_IN = "synthetic"

NEXT = """\
Next: `tsn repro --quick` gives a first answer in minutes, `tsn repro` runs everything.
`tsn check {name}` says what that will be."""
FIRST = ("rgb", "flow")  # modalities for a first answer


@dataclass(frozen=True, kw_only=True)
class Options:
    """name: of the dataset. videos: a folder of <class>/<clip>, or a CSV file. like: the recipe
    that is copied. quick: whether a first answer follows at once."""

    name: str
    videos: Path
    like: str = "weizmann"
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a look at the videos found: ids `<class>/<clip>` and their files, the recipe's source,
    how clips are split and the lists this gives, their groups and these in words, what cannot be
    taken of the folder or file and why, and facts of some videos."""

    files: Mapping[str, Path]
    source: Mapping[str, Any]
    split: SplitConfig
    lists: SplitLists
    groups: Sequence[str]
    why: str
    left_out: Mapping[str, str]
    facts: Mapping[str, Facts] = field(default_factory=dict)

    @property
    def classes(self) -> Counter[str]:
        """Return how many clips each class has."""
        return classes_of(self.files)

    @property
    def clips(self) -> Clips:
        """Return them as costs are told from them."""
        return measured(self.lists, self.files, self.facts)

    @property
    def good(self) -> list[Facts]:
        """Return the facts of those that can be read."""
        return [row for row in self.facts.values() if not row.defect]

    @property
    def aspect(self) -> float:
        """Return the usual width of a frame over its height."""
        return statistics.median(row.width / row.height for row in self.good)

    def unusable(self, min_frames: int) -> dict[str, str]:
        """Return those that cannot be used, and why."""
        return {
            video: row.defect or f"{row.frames} frames, a snippet takes {min_frames}"
            for video, row in sorted(self.facts.items())
            if row.defect or row.frames < min_frames
        }


def main(options: Options) -> None:
    refuse_name(options.name)
    source = params.load_recipe(options.like)
    before = params.active_datasets()
    found = look_at(options.videos)
    if not found.good:
        first, facts = next(iter(found.facts.items()))
        raise SourceError(f"{options.videos}: no video can be read; {first}: {facts.defect}")
    path = params.recipe_path(options.name)
    recipe = make_recipe(source.path, options.name, found)
    settings = make_params(options.name, found.split.splits)
    lines = describe(found, recipe, settings)
    write_yaml(path, recipe, HEADER.format(name=options.name, like=source.path, path=path))
    write_yaml(params.PARAMS, settings, "")
    print("\n".join([*lines, "", *describe_written(options.name, path, before)]))
    if not options.quick:
        print(NEXT.format(name=options.name))
    check.check(check.Options(dataset=options.name))


def refuse_name(name: str) -> None:
    """Raise ValueError unless a recipe can have that name, and none has."""
    if (path := params.recipe_path(name)).exists():
        raise ValueError(f"{path} is there already: edit it, or choose another name")


def look_at(videos: Path) -> Found:
    """Read the names of all videos, and decode some of them."""
    if not is_utf8(str(videos)):
        raise SourceError(f"{shown(videos)}: not UTF-8, as a recipe is; rename it, or link to it")
    found = look_in_file(videos) if videos.is_file() else look_in_folder(videos)
    return replace(found, facts=look({video: found.files[video] for video in some(found.files)}))


def look_in_folder(videos: Path) -> Found:
    """Return what the names in a folder say."""
    ids, left_out = find_videos(videos)
    files = {video: videos / video for video in ids}
    refuse_one_class(classes_of(files), videos)
    refusal: SplitError | None = None
    for guess in guesses(sorted(files)):
        try:
            numbers = range(SPLITS, 0, -1)
            split, lists = first_split("folder", guess.pattern, numbers, files, Path())
        except SplitError as error:
            refusal = error  # the last asks for least
            continue
        source = {"folder": {"videos": str(videos), "lists": None}}
        return Found(
            files=files,
            source=source,
            split=split,
            lists=lists,
            groups=guess.groups,
            why=guess.why,
            left_out=left_out,
        )
    raise refusal or SplitError(f"{videos}: cannot be split")


def look_in_file(path: Path) -> Found:
    """Return what a CSV file says, whose paths are relative to its folder."""
    root = path.parent
    rows, left_out = listed_videos(CsvConfig(file=str(path), root=str(root)))
    files = {video: root / row.path for video, row in rows.items()}
    refuse_one_class(classes_of(files), path)
    has_split = any(row.split for row in rows.values())
    groups = sorted({row.group for row in rows.values() if row.group})
    with tempfile.TemporaryDirectory() as folder:
        write_clips(rows, Path(folder))
        numbers = range(1, 0, -1) if has_split else range(SPLITS, 0, -1)
        split, lists = first_split("csv", None, numbers, files, Path(folder))
    alone = "the file names none, so every clip stands alone"
    return Found(
        files=files,
        source={"csv": {"file": str(path), "root": str(root)}},
        split=split,
        lists=lists,
        groups=groups,
        why="the file's column `group`" if groups else alone,
        left_out=left_out,
    )


def classes_of(videos: Iterable[str]) -> Counter[str]:
    """Return how many of the videos each class has."""
    return Counter(video.split("/")[0] for video in videos)


def first_split(
    format_: str, pattern: str | None, numbers: Sequence[int], files: Iterable[str], lists: Path
) -> tuple[SplitConfig, SplitLists]:
    """Return the first number of splits with which every class is trained and tested, and its
    lists; SplitError says why there is none."""
    refusal: SplitError | None = None
    for splits in numbers:
        config = SplitConfig(
            format=format_,
            group_pattern=pattern,
            splits=splits,
            classes=None,
            clips_per_class=None,
            counts=None,
            leaks="keep",
            promotion_share=None,
        )
        try:
            return config, split_lists(sorted(files), lists, config)
        except SplitError as error:
            refusal = error  # the last asks for least
    raise refusal or SplitError("no number of splits to try")


def make_recipe(source: Path, name: str, found: Found) -> Any:
    """Return a copy of the recipe `source` with what is this dataset's."""
    recipe = ROUND_TRIP.load(source)
    recipe.ca.comment = None  # at its top, of another dataset
    recipe["source"] = dict(found.source)
    recipe.yaml_set_comment_before_after_key("split", before="\n")
    recipe["split"].update(asdict(found.split))
    for stream in recipe["extract"].values():
        shorter = min(stream["width"], stream["height"])
        stream["width"], stream["height"] = frame_size(shorter, found.aspect)
    bad = len(found.unusable(recipe["accept"]["min_frames"]))
    if len(found.facts) < len(found.files):  # there are more where these are from
        bad = math.ceil(1.5 * bad * len(found.files) / len(found.facts))
    recipe["accept"]["max_quarantined"] = bad
    train_enough(recipe, found)
    recipe["ingest"]["inbox"] = str(NEW_CLIPS / name)
    return recipe


def train_enough(recipe: Any, found: Found) -> None:
    """Lengthen all trainings alike, until the shortest goes `PASSES` times through its clips."""
    shortest = min(filter(None, passes(recipe, found)), default=PASSES)
    times = max(1.0, PASSES / shortest)
    for section in recipe["train"].values():
        solver = section["solver"]
        solver["iterations"] = math.ceil(times * solver["iterations"])
        solver["lr_steps"][:] = [math.ceil(times * step) for step in solver["lr_steps"]]


def passes(recipe: Any, found: Found) -> list[float]:
    """Return how often each modality's training goes through the clips of the largest split."""
    clips = max(len(side) for side in found.lists.train.values())
    solvers = [section["solver"] for section in recipe["train"].values()]
    return [solver["iterations"] * solver["batch_size"] / clips for solver in solvers]


def write_yaml(path: Path, content: Any, header: str) -> None:
    """Write a mapping with its comments, behind a header."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(header)
        ROUND_TRIP.dump(content, file)


def round_trip() -> YAML:
    """Return what reads and writes YAML without a loss of comments."""
    yaml = YAML()
    yaml.Representer = type("Representer", (RoundTripRepresenter,), {})  # theirs belong to a class
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.width = 4096
    yaml.preserve_quotes = True
    return yaml


ROUND_TRIP = round_trip()


def frame_size(shorter: int, aspect: float) -> tuple[int, int]:
    """Return width and height of frames whose shorter side is given; sides are multiples of 4."""
    longer = 4 * round(shorter * min(max(aspect, 1 / aspect), WIDEST) / 4)
    return (longer, shorter) if aspect >= 1 else (shorter, longer)


def make_params(name: str, splits: int) -> Any:
    """Return params.yaml with the dataset added; the built-in one makes room for it."""
    content = ROUND_TRIP.load(params.PARAMS)
    before = list(content["datasets"])
    content["datasets"][:] = [row for row in before if row not in (BUILT_IN, name)] + [name]
    if content["datasets"] == [name]:
        kept = [number for number in content["splits"] if number <= splits]
        content["splits"][:] = kept if 1 in kept else [1, *kept]  # the first is packaged
    return content


def describe(found: Found, recipe: Any, settings: Any) -> list[str]:
    """Say what was found, and what it means."""
    classes, good = found.classes, found.good
    seconds = [row.seconds for row in good]
    sizes = Counter((row.width, row.height) for row in good)
    (width, height), _ = sizes.most_common(1)[0]
    others = f", and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    many = f"{len(found.groups)} ({first_few(found.groups, SHOWN)}): " if found.groups else ""
    looked = "" if len(found.facts) == len(found.files) else f" (looked at {len(found.facts)})"
    lines = [
        f"{len(found.files)} clips of {len(classes)} classes{looked}",
        f"  clips of a class   {least_to_most(classes.values())}",
        f"  frames             {width}x{height}{others}",
        f"  length             {statistics.median(seconds):.1f} s in the middle, "
        f"{min(seconds):.1f} to {max(seconds):.1f}",
        f"  groups             {many}{found.why}",
        f"  splits             {found.split.splits}",
        "  each clip          is trained on "
        f"{least_to_most([int(times) for times in passes(recipe, found)])} times",
    ]
    if len({row.width > row.height for row in good if row.width != row.height}) > 1:
        lines.append(
            "  shapes             some stand and some lie: all are scaled to the usual shape"
        )
    if few := sorted(thin_classes(found.lists)):
        lines.append(
            f"  few clips          {first_few(few, SHOWN)}: results will vary between splits"
        )
    alike = near_equal("classes", classes) + near_equal("groups", found.groups)
    lines += [f"  nearly equal       {line}" for line in alike]
    lines += list_left_out(found.left_out, MOST_NAMED)
    lines += list_left_out(found.unusable(recipe["accept"]["min_frames"]), SHOWN)
    return [*lines, *describe_cost(found, recipe, settings)]


def list_left_out(reasons: Mapping[str, str], most: int) -> list[str]:
    """Return lines of what will be left out, and why."""
    lines = [
        f"  will be left out   {shown(name)}: {why}" for name, why in list(reasons.items())[:most]
    ]
    more = len(reasons) - most
    return lines if more <= 0 else [*lines, f"                     and {more} more"]


def describe_cost(found: Found, recipe: Any, settings: Any) -> list[str]:
    """Say what time and disk to expect, for what params.yaml runs and for less."""
    modalities = [name for name in settings["modalities"] if name in recipe["train"]]
    first = [name for name in FIRST if name in recipe["train"]]
    splits, clips, cores = list(settings["splits"]), found.clips, count_cores()
    times = [
        spoken(seconds_of(cells, recipe, clips, cores))
        for cells in (
            cells_of(splits, modalities),
            cells_of(splits[:1], first),
            quick_cells(splits, modalities),
        )
    ]
    everything, less, quick = times
    size = clips.bytes + stream_bytes(recipe, modalities, clips)
    return [
        f"  time to expect     {everything} on {counted(cores, 'core')} with "
        f"{counted(len(modalities), 'modality', 'modalities')} and "
        f"{counted(len(splits), 'split')}; {less} with {' and '.join(first)} and one split; "
        f"{quick} for a first answer",
        f"  disk to expect     about {readable_size(size)}",
    ]


def describe_written(name: str, path: Path, before: Sequence[str]) -> list[str]:
    """Say what was written."""
    lines = [f"wrote {path}, and {name} into datasets of params.yaml"]
    if BUILT_IN in before:
        lines.append(f"{BUILT_IN} made room for it there; its recipe and results stay")
    return lines
