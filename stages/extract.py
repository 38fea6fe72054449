"""extract: what a modality reads (frames, flow, warped flow), one file per video.

Modalities of one stream share its files: the store below DVC computes each once.
"""

import argparse
from pathlib import Path

from stages import command, params, provenance
from stages.machine import Machine
from tsn.archives import OK, write_manifest
from tsn.extraction import STREAMS, Extracted, extract_stream
from tsn.folder import folder_videos
from tsn.modality import modality
from tsn.worker_pool import WorkerError

STORE = Path(".tsn/store")  # below DVC: a video's stream is computed once, whatever DVC deletes


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.extract.{args.modality}"
    content = params.load()
    stream = STREAMS[modality(args.modality).stream]
    config = params.section(content, section, stream.config_class)
    machine = params.section(content, "machine", Machine)
    videos = folder_videos(args.videos)
    with provenance.unchanged([section], [args.videos]):
        extraction = extract_stream(
            stream, config, args.videos, videos, args.out, STORE, max(machine.workers, 1)
        )
        text = f"extract {args.dataset} {args.modality}"
        try:
            records = list(command.progress(extraction, total=len(videos), unit="video", text=text))
        except WorkerError as error:
            raise OSError(f"{error}\nWhat was finished is in {STORE}: run it again") from error
        write_manifest([record.row for record in records], args.out)
    print(summary(text, records))


def summary(text: str, records: list[Extracted]) -> str:
    """What was extracted, what came from the store, and what was set aside and why."""
    good = [record for record in records if record.row.status == OK]
    entries = sum(record.row.entries for record in good)
    stored = sum(record.from_store for record in records)
    lines = [f"{text}: {len(good)} videos, {entries} entries, {stored} from the store"]
    unsupported = sum(record.num_unsupported for record in good)
    if unsupported:
        lines.append(f"  {unsupported} pairs kept their camera motion: no homography was found")
    lines += [f"  quarantined {r.row.video}: {r.row.reason}" for r in records if r not in good]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="extract", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--modality", required=True, help="rgb, rgb_diff, flow or warped_flow")
    parser.add_argument("--videos", required=True, type=Path, help="folder of <class>/<clip>")
    parser.add_argument("--out", required=True, type=Path, help="out: archives and manifest.csv")
    command.run(parser, main)
