"""split: the train and test lists of every split, checked, and what their videos are like.

Test videos that are trained on under another name (the same bytes, or the same scene in another
group) are found, listed in leaks.csv and kept or dropped as the recipe says. Where they are kept,
test videos are tagged, so that accuracy is told with and without them. Scenes that too many groups
show are taken for the dataset's backdrop: listed, too, and counted, but no leaks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from stages.runtime import command, params, provenance
from stages.runtime.machine import read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.runtime.places import SURVEY_CACHE
from tsn.files import atomic_path
from tsn.lists import CONTACT_SHEET, LEAKS, SURVEY, SplitLists, read_digests, write_splits
from tsn.sources.folder import folder_videos
from tsn.splits.contact_sheet import contact_sheet
from tsn.splits.formats import SplitConfig, split_lists
from tsn.splits.leakage import (
    DROP,
    SAME_BYTES,
    Findings,
    Leak,
    drop_leaks,
    find_leaks,
    tag_leaks,
    write_leaks,
)
from tsn.splits.survey import Facts, survey, write_facts
from tsn.workers.pool import WorkerError

MOST_LINES = 10  # of a kind that are printed


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("split",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    videos: Path = input_path("folder of <class>/<clip>")
    lists: Path = input_path("folder of the dataset's lists")
    checksums: Path = input_path("video,bytes,sha256")
    out: Path = output_path("classes.txt, <k>/*.csv, ...")


def main(options: Options) -> None:
    config = params.section(params.load_recipe(options.dataset), "split", SplitConfig)
    workers = read_machine().workers
    with provenance.unchanged(options):
        lists = split_lists(folder_videos(options.videos), options.lists, config)
        known = read_digests(options.checksums)
        digests = {video: known[video] for video in lists.videos}
        text = f"look at {options.dataset}"
        seen = survey(options.videos, digests, SURVEY_CACHE, workers)
        try:
            facts = dict(command.progress(seen, total=len(digests), unit="video", text=text))
        except WorkerError as error:
            raise OSError(f"{error}\nWhat was looked at is kept: run it again") from error
        found = findings(lists, digests, facts)
        leaks = {split: row.leaks for split, row in found.items()}
        lists = without_leaks(lists, leaks) if config.leaks == DROP else with_tags(lists, leaks)
        write_splits(lists, options.out)
        write_facts(options.out / SURVEY, facts)
        write_leaks(options.out / LEAKS, found)
        write_contact_sheet(options, lists, facts)
    print(f"{options.dataset}: {len(lists.classes)} classes")
    for split, train in lists.train.items():
        sizes = Counter(video.label for video in train)
        print(
            f"  split {split}: {len(train)} train, {len(lists.test[split])} test; "
            f"{min(sizes.values())} to {max(sizes.values())} training clips a class"
        )
        if leaks[split]:
            print(f"    {describe(leaks[split], config.leaks)}")
        if backdrops := found[split].backdrops:
            print(f"    {describe_backdrops(backdrops)}")
    for line in (*describe_unreadable(facts), *describe_counts(facts)):
        print(f"  {line}")


def findings(
    lists: SplitLists, digests: Mapping[str, str], facts: Mapping[str, Facts]
) -> dict[int, Findings]:
    """The leaks of every split, and what only looks so."""
    hashes = {video: row.hashes for video, row in facts.items()}
    return {k: find_leaks(lists.train[k], lists.test[k], digests, hashes) for k in lists.train}


def without_leaks(lists: SplitLists, leaks: Mapping[int, Sequence[Leak]]) -> SplitLists:
    """The lists without the training videos that are tested."""
    train = {k: drop_leaks(lists.train[k], leaks[k]) for k in lists.train}
    for split, rows in train.items():
        left = {row.label for row in rows}
        emptied = [name for label, name in enumerate(lists.classes) if label not in left]
        if emptied:
            raise ValueError(
                f"leaks: drop leaves split {split} no training video of {', '.join(emptied)}; "
                "keep them, or leave the class out (`classes`)"
            )
    return replace(lists, train=train)


def with_tags(lists: SplitLists, leaks: Mapping[int, Sequence[Leak]]) -> SplitLists:
    """The lists with leaked test videos told from the others, if any split has one."""
    if not any(leaks.values()):
        return lists
    return replace(lists, test={k: tag_leaks(lists.test[k], leaks[k]) for k in lists.test})


def write_contact_sheet(options: Options, lists: SplitLists, facts: Mapping[str, Facts]) -> None:
    """One picture of every class."""
    shown: dict[str, Path] = {}
    for row in lists.train[min(lists.train)]:
        if not facts[row.video].defect:
            shown.setdefault(lists.classes[row.label], options.videos / row.video)
    picture = cv2.imencode(".jpg", contact_sheet(dict(sorted(shown.items()))))[1]
    with atomic_path(options.out / CONTACT_SHEET) as temporary:
        temporary.write_bytes(picture.tobytes())


def describe(leaks: Sequence[Leak], treatment: str) -> str:
    """A line on the leaks of a split."""
    tested, trained = ({getattr(leak, side) for leak in leaks} for side in ("test", "train"))
    same = sorted((leak.test, leak.train) for leak in leaks if leak.kind == SAME_BYTES)
    example = f", {len(same)} of them the same bytes ({' = '.join(same[0])})" if same else ""
    what = f"{len(trained)} training videos dropped" if treatment == DROP else "all kept"
    return (
        f"{len(tested)} test videos show the scene of a training video{example}; {what}, listed in "
        f"{LEAKS}"
    )


def describe_backdrops(backdrops: Sequence[Leak]) -> str:
    """A line on the test videos of a split that were not taken for leaks."""
    first = backdrops[0]
    return (
        f"{len(backdrops)} test videos show a scene that more than a tenth of the groups show "
        f"({first.test} that of {first.train}): taken for the dataset's backdrop, listed in {LEAKS}"
    )


def describe_unreadable(facts: Mapping[str, Facts]) -> list[str]:
    """A line for each of the first videos that cannot be read."""
    lines = [f"cannot be read: {v}: {row.defect}" for v, row in sorted(facts.items()) if row.defect]
    return _first(lines)


def describe_counts(facts: Mapping[str, Facts]) -> list[str]:
    """Lines on the videos whose header lies about their frames, the worst first."""
    liars = {video: row for video, row in facts.items() if row.counted != row.frames}
    if not liars:
        return []
    worst = sorted(
        liars.items(), key=lambda item: (-abs(item[1].counted - item[1].frames), item[0])
    )
    lines = [f"  {video}: counted {row.counted}, decoded {row.frames}" for video, row in worst]
    return [f"{len(liars)} videos do not have the frames that their headers count:", *_first(lines)]


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"and {more} more, in {SURVEY}"]


if __name__ == "__main__":
    command.run(__doc__, Options, main)
