"""take_in: new labelled clips from the recipe's inbox into the dataset, for its training lists.

Every clip is decoded as a whole. One that cannot be used, or that shows the scene of a test video,
is refused with the reason and stays where it is, as the others do: nothing in the inbox is moved.
What was taken in lies in additions/<dataset>; `dvc add additions/<dataset>` and a commit of
additions/ make it part of the dataset, and `make repro` trains with it. `flows/retrain.py` does all
of this on a schedule.
"""

import argparse
from pathlib import Path

from stages.runtime import command, params
from stages.runtime.checksums import read_digests
from stages.runtime.machine import Machine
from stages.runtime.places import ADDITIONS, SURVEY_CACHE
from tsn.files import atomic_path
from tsn.lists import read_list, read_names
from tsn.modality import MODALITIES
from tsn.sources.additions import CLIPS, read_additions
from tsn.splits.ingest import Dataset, Intake, IntakeConfig, NewClip, find_clips, take_in
from tsn.streams.table import STREAMS

SHOWN = 20


def main(args: argparse.Namespace) -> None:
    content = params.load()
    config = params.section(content, f"recipes.{args.dataset}.intake", IntakeConfig)
    inbox = args.root / config.inbox
    text = f"{args.dataset}: {config.inbox} does not exist; new clips go there as <class>/<clip>"
    if inbox.exists():
        clips, misplaced = find_clips(inbox)
        text = summary(args.dataset, look_at(args, content, clips), misplaced)
    print(text)
    if args.report is not None:
        with atomic_path(args.report) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def look_at(args: argparse.Namespace, content: params.Content, clips: list[NewClip]) -> Intake:
    """Takes in what is good of the clips."""
    return take_in(
        clips,
        read_dataset(Path("data") / args.dataset),
        read_additions(ADDITIONS / args.dataset / CLIPS),
        args.out or ADDITIONS / args.dataset,
        least_frames(content, args.dataset),
        SURVEY_CACHE,
        params.section(content, "machine", Machine).workers,
        lambda paths: command.progress(paths, total=len(paths), unit="clip", text="read"),
    )


def read_dataset(folder: Path) -> Dataset:
    """What the stages `download` and `split` wrote of a dataset."""
    splits, checksums = folder / "splits", folder / "videos.csv"
    if not (splits / "classes.txt").is_file() or not checksums.is_file():
        raise FileNotFoundError(f"{splits}: no lists yet; run `make repro` once, or `dvc pull`")
    train, test = (
        {row.video: row for path in sorted(splits.glob(f"*/{side}.csv")) for row in read_list(path)}
        for side in ("train", "test")
    )
    return Dataset(
        videos=folder / "videos",
        classes=read_names(splits / "classes.txt"),
        digests=read_digests(checksums),
        train=list(train.values()),
        test=list(test.values()),
    )


def least_frames(content: params.Content, dataset: str) -> int:
    """The frames that every stream of a recipe asks of a video."""
    return max(
        params.section(
            content, f"recipes.{dataset}.extract.{row.name}", STREAMS[row.stream].config_class
        ).min_frames
        for row in MODALITIES.values()
    )


def summary(dataset: str, intake: Intake, misplaced: dict[Path, str]) -> str:
    """What was taken in and what was not, and why."""
    lines = [f"{dataset}: {len(intake.taken)} new clips taken in, {intake.known} known already"]
    if intake.unsettled:
        lines.append(f"  {intake.unsettled} were written just now: they are left for the next time")
    refused = {**misplaced, **intake.refused}
    lines += [f"  refused {path}: {reason}" for path, reason in list(refused.items())[:SHOWN]]
    if len(refused) > SHOWN:
        lines.append(f"  and {len(refused) - SHOWN} more refused")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="take_in", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--root", type=Path, default=Path(), help="what the inbox is relative to")
    parser.add_argument(
        "--out", type=Path, help="out: the new clips (default: additions/<dataset>)"
    )
    parser.add_argument("--report", type=Path, help="a file for what is printed, too")
    command.run(parser, main)
