"""download: a dataset's videos and lists, from its source to data/<dataset>, with checksums."""

import argparse
from pathlib import Path

from stages.runtime import command, params, provenance
from tsn.files import write_csv
from tsn.sources.additions import fetch_additions
from tsn.sources.folder import checksum_rows
from tsn.sources.table import SOURCES


def main(args: argparse.Namespace) -> None:
    section = f"recipes.{args.dataset}.source"
    kind, config = params.choice(
        params.load(), section, {name: source.config for name, source in SOURCES.items()}
    )
    with provenance.unchanged([section], [args.additions.parent]):
        with command.byte_bars() as report:
            fetched = SOURCES[kind].fetch(config, args.videos, args.lists, report)
            videos = list(command.progress(fetched, total=None, unit="video", text=args.dataset))
        rows = list(checksum_rows(args.videos, sorted(videos)))
        digests = {digest for _, _, digest in rows}
        added = list(fetch_additions(args.additions, args.videos, args.lists, digests))
        rows += checksum_rows(args.videos, added)
        write_csv(args.checksums, ("video", "bytes", "sha256"), sorted(rows))
    late = f" and {len(added)} taken in later" if added else ""
    print(f"{args.dataset}: {len(videos)} videos from {kind}{late}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="download", description=__doc__)
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--videos", required=True, type=Path, help="out: folder of <class>/<clip>")
    parser.add_argument("--lists", required=True, type=Path, help="out: folder of list files")
    parser.add_argument("--checksums", required=True, type=Path, help="out: video,bytes,sha256")
    parser.add_argument(
        "--additions", required=True, type=Path, help="folder of clips that came later, if any"
    )
    command.run(parser, main)
