"""A share of a dataset's videos into the store, so that many machines extract one dataset.

Run shards 1/n to n/n anywhere, in any order, all with the same commit and recipe and with one
store: `.tsn/store` as a link to a folder that all machines see, or each its own and copied together
afterwards (names are content hashes, nothing collides). The `extract` stage then assembles its
output in seconds. A shard that is run again computes only what is missing.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.extract import follow, make_job, summary
from stages.runtime.places import STORE
from tsn.lists import read_names
from tsn.streams.archives import QUARANTINED
from tsn.streams.extraction import fill_store, shard_of


def shard(text: str) -> tuple[int, int]:
    """Return `i/n` as (i, n)."""
    try:
        index, count = map(int, text.split("/"))
        shard_of([], index, count)
    except ValueError:
        raise ValueError(f"{text!r}: expected i/n, 1/n to n/n") from None
    return index, count


@dataclass(frozen=True, kw_only=True)
class Options:
    """videos: folder of <class>/<clip>. list: the videos to take, one a line. shard: (i, n)."""

    dataset: str
    modality: str
    videos: Path
    list: Path
    shard: tuple[int, int]
    store: Path = STORE


def main(options: Options) -> None:
    index, count = options.shard
    if not options.list.is_file():
        raise FileNotFoundError(
            f"{options.list}: no lists yet; `tsn repro split@{options.dataset}` makes them, or "
            "`dvc pull` brings them"
        )
    videos = shard_of(read_names(options.list), index, count)
    text = f"fill {options.dataset} {options.modality} {index}/{count}"
    if not videos:
        print(f"{text}: no videos in this share")
        return
    job = make_job(options.dataset, options.modality, options.videos, videos, options.store)
    records = follow(fill_store(job), len(videos), text)
    print(summary(text, records))
    allowed = job.accept.max_quarantined
    if sum(record.row.status == QUARANTINED for record in records) > allowed:
        print(f"  more than max_quarantined ({allowed}): the stage will refuse them")
