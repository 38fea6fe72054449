"""A recipe for one's own videos, written after a look at them.

The recipe is a copy of another one with what depends on the videos changed: where they lie, how
their names group them, and the shape of their frames. Every other number stays as it is there.
"""

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.runtime import command, params
from stages.runtime.machine import read_machine
from stages.runtime.places import SURVEY_CACHE
from tsn.files import atomic_path, file_sha256
from tsn.lists import SplitError
from tsn.sources.csv_file import read_rows
from tsn.sources.folder import SourceError, folder_videos
from tsn.splits.formats import SplitConfig, split_lists
from tsn.splits.groups import GroupGuess, guesses
from tsn.splits.survey import Facts, survey

NAME = re.compile(r"[a-z][a-z0-9_]*")
LOOKED_AT = 200  # videos at most; `split` decodes every one
SPLITS = 3
SHOWN = 5
WIDEST = 1.8  # sides of a frame, at most
BUILT_IN = "synthetic"

# Measured on two cores of a server (docs/results.md). Seconds for an image of a training: some to
# read it, some for each 224 x 224 pixels; pairs of frames a second at 340 x 256; bytes there.
SECONDS_TO_READ, SECONDS_TO_TRAIN = 0.02, 0.04
FLOW_PAIRS, WARPED_PAIRS, FRAMES = 26.0, 20.0, 400.0
FLOW_BYTES, FRAME_BYTES = 6e3, 28e3
PIXELS = 340 * 256


@dataclass(frozen=True, kw_only=True)
class Options:
    """name: of the dataset. videos: a folder of <class>/<clip>, or a CSV file. like: the recipe
    that is copied."""

    name: str
    videos: Path
    like: str = "weizmann"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a look at the videos found: ids `<class>/<clip>` and their files, groups and splits that
    the source names or the names suggest, and facts of some of them."""

    files: Mapping[str, Path]
    is_csv: bool
    guess: GroupGuess
    splits: int
    facts: Mapping[str, Facts]

    @property
    def classes(self) -> Counter[str]:
        """Return how many clips each class has."""
        return Counter(video.split("/")[0] for video in self.files)

    @property
    def good(self) -> list[Facts]:
        """Return the facts of those that can be read."""
        return [row for row in self.facts.values() if not row.defect]

    @property
    def aspect(self) -> float:
        """Return the usual width of a frame over its height."""
        return statistics.median(row.width / row.height for row in self.good)


def main(options: Options) -> None:
    refuse_name(options.name)
    source = params.load_recipe(options.like)
    found = look_at(options.videos)
    if not found.good:
        first, facts = next(iter(found.facts.items()))
        raise SourceError(f"{options.videos}: no video can be read; {first}: {facts.defect}")
    path = params.recipe_path(options.name)
    recipe = write_recipe(source.path, path, options, found)
    before = add_to_params(options.name, found.splits)
    print("\n".join([*describe(found, recipe), "", *next_steps(options.name, path, before)]))


def refuse_name(name: str) -> None:
    """Raise ValueError unless a recipe can have that name."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a dataset's name is small letters, digits and _, as in `mine`")
    if (path := params.recipe_path(name)).exists():
        raise ValueError(f"{path} is there already: edit it, or choose another name")


def look_at(videos: Path) -> Found:
    """Read the names of all videos, and decode some of them."""
    is_csv = videos.is_file()
    files = listed_files(videos) if is_csv else folder_files(videos)
    classes = Counter(video.split("/")[0] for video in files)
    if len(classes) < 2:
        raise SourceError(
            f"{videos}: one class ({', '.join(classes)}), and a recogniser tells at least two "
            "apart; expected <class>/<clip> below the folder"
        )
    guess, splits = group(sorted(files), is_csv)
    step = max(1, len(files) // LOOKED_AT)
    some = sorted(files)[::step]
    digests = {video: file_sha256(files[video]) for video in some}
    return Found(files=files, is_csv=is_csv, guess=guess, splits=splits, facts=look(files, digests))


def folder_files(videos: Path) -> dict[str, Path]:
    """Return the files of a folder by their id."""
    return {video: videos / video for video in folder_videos(videos)}


def listed_files(videos: Path) -> dict[str, Path]:
    """Return the files that a CSV file lists, relative to its folder, by their id."""
    root = videos.parent
    return {f"{row.label}/{row.path.name}": root / row.path for row in read_rows(videos, root)}


def look(files: Mapping[str, Path], digests: Mapping[str, str]) -> dict[str, Facts]:
    """Return the facts of some videos."""
    names = {str(files[video].resolve()): video for video in digests}
    hashes = {path: digests[video] for path, video in names.items()}
    seen = survey(Path(), hashes, SURVEY_CACHE, read_machine().workers)
    bar = command.progress(seen, total=len(hashes), unit="video", text="look")
    return {names[path]: facts for path, facts in bar}


def group(videos: Sequence[str], is_csv: bool) -> tuple[GroupGuess, int]:
    """Return the best guess that every class can be trained and tested with, and the splits."""
    if is_csv:
        why = "the CSV file's column `group` says who or where, if it has one"
        return GroupGuess(pattern=None, why=why, groups=()), SPLITS
    error: SplitError | None = None
    for guess in guesses(videos):
        for splits in range(SPLITS, 0, -1):
            try:
                split_lists(videos, Path("no lists"), split_config(guess, splits))
            except SplitError as refusal:
                error = error or refusal
            else:
                return guess, splits
    raise error or SplitError("no videos")


def split_config(guess: GroupGuess, splits: int) -> SplitConfig:
    """Return how a folder's videos are split by a guess."""
    return SplitConfig(
        format="folder",
        group_pattern=guess.pattern,
        splits=splits,
        classes=None,
        clips_per_class=None,
        counts=None,
        leaks="keep",
    )


def write_recipe(source: Path, path: Path, options: Options, found: Found) -> dict[str, Any]:
    """Write the recipe, a copy of `source` with what is this dataset's, and return it."""
    yaml = round_trip()
    recipe: dict[str, Any] = yaml.load(source)
    where = str(options.videos)
    if found.is_csv:
        recipe["source"] = {"csv": {"file": where, "root": str(options.videos.parent)}}
    else:
        recipe["source"] = {"folder": {"videos": where, "lists": None}}
    recipe["split"] |= {
        "format": "csv" if found.is_csv else "folder",
        "group_pattern": found.guess.pattern,
        "splits": found.splits,
        "classes": None,
        "clips_per_class": None,
        "counts": None,
    }
    for stream in recipe["extract"].values():
        stream["width"], stream["height"] = frame_size(
            min(stream["width"], stream["height"]), found.aspect
        )
    unusable = sum(
        bool(row.defect) or row.frames < recipe["accept"]["min_frames"]
        for row in found.facts.values()
    )
    recipe["accept"]["max_quarantined"] = unusable
    recipe["package"]["split"] = 1
    recipe["ingest"]["inbox"] = f"inbox/new/{options.name}"
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(
            f"# {options.name}: written by `tsn new` like {source}. Every number of this dataset.\n"
            "# Change one here, or for one experiment:\n"
            f"#   dvc exp run -S '{path}:train.rgb.solver.iterations=200'\n\n"
        )
        yaml.dump(without_header(recipe), file)
    return recipe


def round_trip() -> YAML:
    """Return what reads and writes YAML without a loss of comments."""
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def without_header(recipe: Any) -> Any:
    """Return it without the comment at its top, which is of another dataset."""
    recipe.ca.comment = None
    return recipe


def frame_size(shorter: int, aspect: float) -> tuple[int, int]:
    """Return width and height of frames whose shorter side is given; sides are multiples of 4."""
    longer = 4 * round(shorter * min(max(aspect, 1 / aspect), WIDEST) / 4)
    return (longer, shorter) if aspect >= 1 else (shorter, longer)


def add_to_params(name: str, splits: int) -> list[str]:
    """Add the dataset to params.yaml, and return what was there. The built-in one makes room."""
    yaml = round_trip()
    content = yaml.load(params.PARAMS)
    before = list(content["datasets"])
    content["datasets"][:] = [row for row in before if row not in (BUILT_IN, name)] + [name]
    if content["datasets"] == [name]:
        kept = [number for number in content["splits"] if number <= splits] or [1]
        content["splits"][:] = kept
    with atomic_path(params.PARAMS) as temporary, temporary.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return before


def describe(found: Found, recipe: Mapping[str, Any]) -> list[str]:
    """Say what was found, and what it means."""
    classes, good = found.classes, found.good
    seconds = [row.seconds for row in good]
    sizes = Counter((row.width, row.height) for row in good)
    (width, height), _ = sizes.most_common(1)[0]
    others = f", and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    looked = "" if len(found.facts) == len(found.files) else f" (looked at {len(found.facts)})"
    lines = [
        f"{len(found.files)} clips of {len(classes)} classes{looked}",
        f"  clips of a class   {min(classes.values())} to {max(classes.values())}",
        f"  frames             {width}x{height}{others}",
        f"  length             {statistics.median(seconds):.1f} s in the middle, "
        f"{min(seconds):.1f} to {max(seconds):.1f}",
        f"  groups             {describe_groups(found)}",
    ]
    few = sorted(name for name, number in classes.items() if number < 2 * SPLITS)
    if few:
        lines.append(f"  few clips          {shorten(few)}: results will vary much between splits")
    defects = [f"{video}: {row.defect}" for video, row in found.facts.items() if row.defect]
    short = [
        f"{video}: {row.frames} frames, a snippet takes {recipe['accept']['min_frames']}"
        for video, row in found.facts.items()
        if not row.defect and row.frames < recipe["accept"]["min_frames"]
    ]
    lines += [f"  will be left out   {line}" for line in [*defects, *short][:SHOWN]]
    if (more := len(defects) + len(short) - SHOWN) > 0:
        lines.append(f"                     and {more} more")
    return [*lines, *describe_cost(found, recipe)]


def describe_groups(found: Found) -> str:
    """Say how clips are grouped, and why."""
    guess = found.guess
    if not guess.groups:
        return guess.why
    return f"{len(guess.groups)} ({shorten(guess.groups)}): {guess.why}"


def shorten(words: Sequence[str]) -> str:
    """Return the first few words, and how many there are."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def describe_cost(found: Found, recipe: Mapping[str, Any]) -> list[str]:
    """Say what time and disk to expect on two cores, for what params.yaml runs."""
    settings = params.load()
    splits = len(params.section(settings, "splits", tuple[int, ...]))
    modalities = params.section(settings, "modalities", tuple[str, ...])
    frames = sum(row.frames for row in found.good) * len(found.files) / len(found.facts)
    all_minutes = minutes(recipe, modalities, splits, frames)
    first = [name for name in ("rgb", "flow") if name in recipe["train"]]
    quick = minutes(recipe, first, 1, frames)
    size = sum(disk(recipe["extract"][name], frames) for name in modalities)
    return [
        f"  time to expect     about {all_minutes:.0f} min on two cores with {len(modalities)} "
        f"modalities and {splits} splits; {quick:.0f} min with {' and '.join(first)} and one split",
        f"  disk to expect     about {size / 1e9:.1f} GB, and the videos again",
    ]


def minutes(
    recipe: Mapping[str, Any], modalities: Sequence[str], splits: int, frames: float
) -> float:
    """Return how long two cores take, roughly."""
    seconds = 60.0
    for name in modalities:
        stream, training = recipe["extract"][name], recipe["train"][name]
        rate = FRAMES
        if "engine" in stream:
            rate = WARPED_PAIRS if "homography" in stream else FLOW_PAIRS
        seconds += frames / rate * stream["width"] * stream["height"] / PIXELS
        solver = training["solver"]
        images = solver["iterations"] * solver["batch_size"] * training["network"]["num_segments"]
        one = SECONDS_TO_READ + SECONDS_TO_TRAIN * (training["input_size"] / 224) ** 2
        seconds += 1.1 * splits * images * one  # the tenth: scoring
    return seconds / 60


def disk(stream: Mapping[str, Any], frames: float) -> float:
    """Return how many bytes a stream takes, roughly."""
    each = FLOW_BYTES if "engine" in stream else FRAME_BYTES
    return float(frames * each * stream["width"] * stream["height"] / PIXELS)


def next_steps(name: str, path: Path, before: Sequence[str]) -> list[str]:
    """Say what was written, and what to type next."""
    lines = [f"wrote {path}, and {name} into datasets of params.yaml"]
    if BUILT_IN in before:
        lines.append(f"{BUILT_IN} made room for it there; its recipe and results stay")
    return [
        *lines,
        "Next: `tsn repro`. For a first answer sooner, set in params.yaml",
        "  splits: [1]",
        "  modalities: [rgb, flow]",
    ]
