"""ingest: new labelled clips from the recipe's inbox into the dataset, for its training lists.

Every clip is decoded as a whole. One that cannot be used, or that shows the scene of a test video,
is refused with the reason and stays where it is, as the others do: nothing in the inbox is moved.
What was taken in lies in additions/<dataset>; `dvc add additions/<dataset>` and a commit of
additions/ make it part of the dataset, and `tsn repro` trains with it. `flows/retrain.py` does all
of this on a schedule.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stages.runtime import command, params
from stages.runtime.machine import read_machine
from stages.runtime.options import StageOptions, option, output_path
from stages.runtime.places import ADDITIONS, SURVEY_CACHE, DatasetPaths
from tsn.files import atomic_path
from tsn.lists import CLASSES, read_digests, read_splits
from tsn.names import shown
from tsn.sources.additions import CLIPS, read_additions
from tsn.splits.ingest import Dataset, IngestConfig, Ingested, NewClip, find_clips, ingest
from tsn.splits.survey import survey
from tsn.streams.table import Acceptance

SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("ingest",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    root: Path = option("what the inbox is relative to", default=Path())
    out: Path | None = output_path("the new clips, instead of additions/<dataset>", default=None)
    report: Path | None = output_path("a file for what is printed, too", default=None)


def main(options: Options) -> None:
    recipe = params.load_recipe(options.dataset)
    config = params.section(recipe, "ingest", IngestConfig)
    inbox = options.root / config.inbox
    text = f"{options.dataset}: {config.inbox} does not exist; new clips go there as <class>/<clip>"
    if inbox.exists():
        clips, misplaced = find_clips(inbox)
        ingested = ingest_clips(options, recipe, clips)
        text = summary(options.dataset, ingested, misplaced, options.root)
    print(text)
    if options.report is not None:
        with atomic_path(options.report) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def ingest_clips(options: Options, recipe: params.Settings, clips: list[NewClip]) -> Ingested:
    """Take in what is good of the clips."""
    machine = read_machine()
    return ingest(
        clips,
        read_dataset(DatasetPaths(options.dataset)),
        read_additions(ADDITIONS / options.dataset / CLIPS),
        options.out or ADDITIONS / options.dataset,
        params.section(recipe, "accept", Acceptance).min_frames,
        partial(survey, cache_dir=SURVEY_CACHE, workers=machine.workers, limits=machine.reading),
        lambda paths: command.progress(paths, total=len(paths), unit="clip", text="read"),
    )


def read_dataset(paths: DatasetPaths) -> Dataset:
    """Return what the stages `download` and `split` wrote of a dataset."""
    if not (paths.splits / CLASSES).is_file() or not paths.checksums.is_file():
        raise FileNotFoundError(
            f"{paths.splits}: no lists yet; run `tsn repro` once, or `dvc pull`"
        )
    lists = read_splits(paths.splits)
    train, test = (
        {row.video: row for listed in side.values() for row in listed}
        for side in (lists.train, lists.test)
    )
    test |= {row.video: row for row in lists.promotion}  # on which recognisers are tested, too
    return Dataset(
        videos=paths.videos,
        classes=lists.classes,
        digests=read_digests(paths.checksums),
        train=list(train.values()),
        test=list(test.values()),
    )


def summary(dataset: str, ingested: Ingested, misplaced: dict[Path, str], root: Path) -> str:
    """Say what was taken in and what was not, and why; paths below `root` are relative to it."""
    lines = [f"{dataset}: {len(ingested.taken)} new clips taken in, {ingested.known} known already"]
    if ingested.unsettled:
        lines.append(
            f"  {ingested.unsettled} were written just now: they are left for the next time"
        )
    refused = {**misplaced, **ingested.refused}
    for path, reason in list(refused.items())[:SHOWN]:
        name = path.relative_to(root) if path.is_relative_to(root) else path
        lines.append(f"  refused {shown(name)}: {reason}")
    if len(refused) > SHOWN:
        lines.append(f"  and {len(refused) - SHOWN} more refused")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(__doc__, Options, main)
