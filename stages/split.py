"""split: the train and test lists of every split, checked against the videos that are there."""

import argparse
from collections import Counter
from pathlib import Path

from stages import command, params, provenance
from tsn.folder import folder_videos
from tsn.lists import write_splits
from tsn.splits import SplitConfig, split_lists


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.split"
    config = params.section(params.load(), section, SplitConfig)
    with provenance.unchanged([section], [args.videos, args.lists]):
        lists = split_lists(folder_videos(args.videos), args.lists, config)
        write_splits(lists, args.out)
    print(f"{args.dataset}: {len(lists.classes)} classes")
    for split, train in lists.train.items():
        sizes = Counter(video.label for video in train)
        print(
            f"  split {split}: {len(train)} train, {len(lists.test[split])} test; "
            f"{min(sizes.values())} to {max(sizes.values())} training clips a class"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="split", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--videos", required=True, type=Path, help="folder of <class>/<clip>")
    parser.add_argument("--lists", required=True, type=Path, help="folder of the dataset's lists")
    parser.add_argument("--out", required=True, type=Path, help="out: classes.txt and <k>/*.csv")
    command.run(parser, main)
