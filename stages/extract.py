"""extract: what a modality reads (frames, flow, warped flow), one file per video.

Modalities of one stream share its files: the store below DVC computes each once. Other machines
can have filled it before (`stages/operate/fill.py`); then the files are only put in place.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.gpu_slots import ALL
from stages.runtime.machine import Machine, count_cores, lease_gpus
from stages.runtime.places import STORE
from tsn.files import write_csv
from tsn.lists import read_names
from tsn.modality import modality
from tsn.streams.archives import OK, write_manifest
from tsn.streams.extraction import Extracted, extract_stream
from tsn.streams.table import STREAMS, FramesConfig, Seat, uses_gpu
from tsn.workers.pool import WorkerError


def main(args: argparse.Namespace) -> None:
    content = params.load()
    section = f"recipes.{args.dataset}.extract.{args.modality}"
    stream = STREAMS[modality(args.modality).stream]
    config = params.section(content, section, stream.config_class)
    seats = choose_seats(config, params.section(content, "machine", Machine))
    videos = read_names(args.list)
    text = f"extract {args.dataset} {args.modality}"
    worker_code = Path("tsn").glob("tvl1*.py")  # which this process does not import
    with provenance.unchanged([section], [args.videos, args.list, *worker_code]):
        extraction = extract_stream(stream, config, args.videos, videos, args.out, STORE, seats)
        records = follow(extraction, len(videos), text)
        write_manifest([record.row for record in records], args.out)
        write_quarantine(args.quarantine, records)
    print(summary(text, records))


def choose_seats(config: FramesConfig, machine: Machine) -> list[Seat]:
    """A worker per GPU that is free, where the stream can use one, or `workers` cores."""
    num_gpus = lease_gpus(machine, 1, ALL) if uses_gpu(config) else 0
    if num_gpus:
        threads = max(1, count_cores() // num_gpus)
        return [Seat(device=f"cuda:{index}", threads=threads) for index in range(num_gpus)]
    return [Seat(device="cpu", threads=1)] * max(machine.workers, 1)


def follow(extraction: Iterator[Extracted], num_videos: int, text: str) -> list[Extracted]:
    """Its records, with a progress bar; an error of a worker says what was not lost."""
    try:
        return list(command.progress(extraction, total=num_videos, unit="video", text=text))
    except WorkerError as error:
        raise OSError(f"{error}\nWhat was finished is in the store: run it again") from error


def write_quarantine(path: Path, records: Iterable[Extracted]) -> None:
    """The videos that were set aside, and why: what the report wants to know of a stream."""
    rows = sorted((r.row.video, r.row.reason) for r in records if r.row.status != OK)
    write_csv(path, ("video", "reason"), rows)


def summary(text: str, records: list[Extracted]) -> str:
    """What was extracted, what came from the store, and what was set aside and why."""
    good = [record for record in records if record.row.status == OK]
    entries = sum(record.row.entries for record in good)
    stored = sum(record.from_store for record in records)
    lines = [f"{text}: {len(good)} videos, {entries} entries, {stored} from the store"]
    unsupported = sum(record.num_unsupported for record in good)
    if unsupported:
        lines.append(
            f"  {unsupported} of {entries} pairs ({unsupported / entries:.1%}) kept their camera "
            "motion: no homography was found"
        )
    short = [record.row for record in good if record.row.missing]
    if short:
        worst = max(short, key=lambda row: row.missing / (row.entries + row.missing))
        lines.append(
            f"  {len(short)} videos have fewer frames than their files count, most of all "
            f"{worst.video}: {worst.missing} are missing"
        )
    lines += [f"  quarantined {r.row.video}: {r.row.reason}" for r in records if r not in good]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="extract", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--modality", required=True, help="rgb, rgb_diff, flow or warped_flow")
    parser.add_argument("--videos", required=True, type=Path, help="folder of <class>/<clip>")
    parser.add_argument("--list", required=True, type=Path, help="the videos to take, one a line")
    parser.add_argument("--out", required=True, type=Path, help="out: archives and manifest.csv")
    parser.add_argument("--quarantine", required=True, type=Path, help="out: video,reason")
    command.run(parser, main)
