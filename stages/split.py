"""split: the train and test lists of every split, checked, and what their videos are like.

Test videos that are trained on under another name (the same bytes, or the same scene in another
group) are found, listed in leaks.csv and kept or dropped as the recipe says. Where they are kept,
test videos are tagged, so that accuracy is told with and without them. Scenes that too many groups
show are taken for the dataset's backdrop: listed, too, and counted, but no leaks.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.machine import read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.runtime.places import SURVEY_CACHE
from tsn.drawing.image import write_image
from tsn.lists import CONTACT_SHEET, LEAKS, SURVEY, SplitLists, read_digests, write_splits
from tsn.names import near_equal
from tsn.sources.folder import folder_videos
from tsn.splits.checks import least_to_most, refuse_one_class
from tsn.splits.contact_sheet import class_examples, contact_sheet
from tsn.splits.formats import SplitConfig, split_lists
from tsn.splits.leakage import DROP, SAME_BYTES, Leak, find_leaks, treat_leaks, write_leaks
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
    machine = read_machine()
    with provenance.unchanged(options):
        lists = split_lists(folder_videos(options.videos), options.lists, config)
        refuse_one_class(lists.classes, options.dataset)
        known = read_digests(options.checksums)
        digests = {video: known[video] for video in lists.videos}
        text = f"look at {options.dataset}"
        seen = survey(options.videos, digests, SURVEY_CACHE, machine.workers, machine.reading)
        with errors_of_workers():
            facts = dict(command.progress(seen, total=len(digests), unit="video", text=text))
        hashes = {video: row.hashes for video, row in facts.items()}
        found = {k: find_leaks(lists.train[k], lists.test[k], digests, hashes) for k in lists.train}
        lists = treat_leaks(lists, found, config.leaks)
        write_splits(lists, options.out)
        write_facts(options.out / SURVEY, facts)
        write_leaks(options.out / LEAKS, found)
        examples = class_examples(lists, {video for video, row in facts.items() if row.defect})
        chosen = {name: options.videos / v for name, v in examples.items()}
        with errors_of_workers():
            sheet = contact_sheet(chosen, machine.reading)
        write_image(options.out / CONTACT_SHEET, sheet)
    print(f"{options.dataset}: {len(lists.classes)} classes")
    for split, train in lists.train.items():
        sizes = Counter(video.label for video in train)
        print(
            f"  split {split}: {len(train)} train, {len(lists.test[split])} test; "
            f"{least_to_most(sizes.values())} training clips a class"
        )
        if found[split].leaks:
            print(f"    {describe_leaks(found[split].leaks, config.leaks)}")
        if found[split].backdrops:
            print(f"    {describe_backdrops(found[split].backdrops)}")
    if lists.promotion:
        print(f"  {len(lists.promotion)} clips are in no split: they are held back for promotion")
    for line in (*alike(lists), *describe_unreadable(facts), *describe_counts(facts)):
        print(f"  {line}")


def alike(lists: SplitLists) -> list[str]:
    """Return a line for classes, and for groups, that a reader takes for the same."""
    rows = [row for sides in (lists.train, lists.test) for side in sides.values() for row in side]
    groups = {row.group for row in rows if row.group != Path(row.video).name}
    return near_equal("classes", lists.classes) + near_equal("groups", groups)


@contextmanager
def errors_of_workers() -> Iterator[None]:
    """Tell an error of those that look at videos in a line."""
    try:
        yield
    except WorkerError as error:
        raise OSError(f"{error}\nWhat was looked at is kept: run it again") from error


def describe_leaks(leaks: Sequence[Leak], treatment: str) -> str:
    """Say in a line what leaks a split has."""
    tested, trained = ({getattr(leak, side) for leak in leaks} for side in ("test", "train"))
    same = sorted((leak.test, leak.train) for leak in leaks if leak.kind == SAME_BYTES)
    example = f" ({len(same)} the same file: {' = '.join(same[0])})" if same else ""
    what = f"training videos dropped for it: {len(trained)}"
    if treatment != DROP:
        what = (
            "all are kept, so accuracies may be too good (`leaks: drop` removes the training ones)"
        )
    return (
        f"test videos whose scene a training video shows, too: {len(tested)}{example}; {what}; "
        f"see {LEAKS}"
    )


def describe_backdrops(backdrops: Sequence[Leak]) -> str:
    """Say in a line which test videos of a split were not taken for leaks."""
    first = backdrops[0]
    return (
        "test videos before a backdrop that more than a tenth of the groups share: "
        f"{len(backdrops)} (as {first.test} and {first.train}); they are taken for no leaks; "
        f"see {LEAKS}"
    )


def describe_unreadable(facts: Mapping[str, Facts]) -> list[str]:
    """Return a line for each of the first videos that cannot be read."""
    lines = [f"cannot be read: {v}: {row.defect}" for v, row in sorted(facts.items()) if row.defect]
    return _first(lines)


def describe_counts(facts: Mapping[str, Facts]) -> list[str]:
    """Return lines on the videos whose header lies about their frames, the worst first."""
    liars = {video: row for video, row in facts.items() if row.counted != row.frames}
    if not liars:
        return []
    worst = sorted(
        liars.items(), key=lambda item: (-abs(item[1].counted - item[1].frames), item[0])
    )
    lines = [f"  {video}: counted {row.counted}, decoded {row.frames}" for video, row in worst]
    return [f"videos without the frames that their headers count: {len(liars)}", *_first(lines)]


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"and {more} more, in {SURVEY}"]


if __name__ == "__main__":
    command.run(__doc__, Options, main)
