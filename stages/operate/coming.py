"""Clips before they are taken: how they will be split, and how long they are."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.operate.check import read_section
from stages.operate.clips import Clips
from stages.runtime import command
from stages.runtime.machine import read_machine
from stages.runtime.params import Settings
from stages.runtime.places import SURVEY_CACHE
from tsn.files import file_sha256
from tsn.lists import SplitLists
from tsn.sources.folder import SourceMissingError
from tsn.sources.synthetic import write_lists
from tsn.sources.synthetic_motion import SyntheticConfig, clip_specs
from tsn.sources.table import SOURCES
from tsn.splits.formats import split_lists
from tsn.splits.survey import Facts, survey

LOOKED_AT = 200  # videos at most; `split` decodes every one
SPLITS = 3


def some(videos: Iterable[str]) -> list[str]:
    """Return the videos that are looked at, evenly spread."""
    names = sorted(videos)
    return names[:: max(1, -(-len(names) // LOOKED_AT))]


def look(files: Mapping[str, Path]) -> dict[str, Facts]:
    """Return the facts of videos, decoded as a whole; those that are known are not read again."""
    names = {str(path.absolute()): video for video, path in files.items()}
    hashes = {path: file_sha256(Path(path)) for path in names}
    machine = read_machine()
    seen = survey(Path(), hashes, SURVEY_CACHE, machine.workers, machine.reading)
    bar = command.progress(seen, total=len(hashes), unit="video", text="look")
    return {names[path]: facts for path, facts in bar}


def coming_clips(recipe: Settings) -> Clips | None:
    """Return the clips that a recipe will take, by a look at some; None if they are not there yet.

    SplitError where they cannot be split, SourceError where they cannot be taken.
    """
    kind, config = read_section(recipe, "source")
    split = read_section(recipe, "split")
    with TemporaryDirectory() as folder:
        lists = Path(folder)
        if isinstance(config, SyntheticConfig):
            write_lists(config, lists)
            ids = [spec.video for spec in clip_specs(config)]
            return Clips(lists=split_lists(ids, lists, split), frames=len(ids) * config.frames)
        listed = SOURCES[kind].listed
        with suppress(SourceMissingError):
            files = listed(config, lists).files if listed else {}
            found = split_lists(sorted(files), lists, split)
            taken = {video: files[video] for video in found.videos}
            return measured(found, taken, look({video: taken[video] for video in some(taken)}))
    return None


def measured(lists: SplitLists, files: Mapping[str, Path], facts: Mapping[str, Facts]) -> Clips:
    """Return clips by their lists and files; their length by the facts of some of them."""
    seen = sum(row.frames for row in facts.values() if not row.defect)
    frames = seen * len(files) / max(1, len(facts))
    return Clips(
        lists=lists, frames=frames, bytes=sum(row.stat().st_size for row in files.values())
    )
