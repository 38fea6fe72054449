"""fill: a share of a dataset's videos into the store, so that many machines extract one dataset.

Run shards 1/n to n/n anywhere, in any order, all with the same commit and params.yaml and with one
store: `.tsn/store` as a link to a folder that all machines see, or each its own and copied together
afterwards (names are content hashes, nothing collides). The `extract` stage then assembles its
output in seconds. A shard that is run again computes only what is missing.
"""

import argparse
from pathlib import Path

from stages.extract import choose_seats, follow, summary
from stages.runtime import command, params
from stages.runtime.machine import Machine
from stages.runtime.places import STORE
from tsn.lists import read_names
from tsn.modality import modality
from tsn.streams.archives import QUARANTINED
from tsn.streams.extraction import fill_store, shard_of
from tsn.streams.table import STREAMS


def main(args: argparse.Namespace) -> None:
    content = params.load()
    stream = STREAMS[modality(args.modality).stream]
    section = f"recipes.{args.dataset}.extract.{args.modality}"
    config = params.section(content, section, stream.config_class)
    seats = choose_seats(config, params.section(content, "machine", Machine))
    index, count = args.shard
    videos = shard_of(read_names(args.list), index, count)
    text = f"fill {args.dataset} {args.modality} {index}/{count}"
    if not videos:
        print(f"{text}: no videos in this share")
        return
    filling = fill_store(stream, config, args.videos, videos, args.store, seats)
    records = follow(filling, len(videos), text)
    print(summary(text, records))
    if sum(record.row.status == QUARANTINED for record in records) > config.max_quarantined:
        print(f"  more than max_quarantined ({config.max_quarantined}): the stage will refuse them")


def shard(text: str) -> tuple[int, int]:
    """`i/n` as (i, n)."""
    try:
        index, count = map(int, text.split("/"))
        shard_of([], index, count)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected i/n, 1/n to n/n") from None
    return index, count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fill", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--modality", required=True, help="rgb, rgb_diff, flow or warped_flow")
    parser.add_argument("--videos", required=True, type=Path, help="folder of <class>/<clip>")
    parser.add_argument("--list", required=True, type=Path, help="the videos to take, one a line")
    parser.add_argument("--shard", required=True, type=shard, metavar="i/n", help="which share")
    parser.add_argument("--store", type=Path, default=STORE, help=f"default: {STORE}")
    command.run(parser, main)
