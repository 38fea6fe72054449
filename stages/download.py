"""download: a dataset's videos and lists, from its source to data/<dataset>, with checksums."""

from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, option, output_path
from tsn.files import write_csv
from tsn.sources.additions import fetch_additions
from tsn.sources.folder import CHECKSUM_COLUMNS, checksum_rows
from tsn.sources.table import SOURCES


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("source",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    videos: Path = output_path("folder of <class>/<clip>")
    lists: Path = output_path("folder of list files")
    checksums: Path = output_path("video,bytes,sha256")
    additions: Path = option("folder of clips that came later, if any")


def main(options: Options) -> None:
    recipe = params.load_recipe(options.dataset)
    kind, config = params.choice(
        recipe, "source", {name: source.config for name, source in SOURCES.items()}
    )
    with provenance.unchanged(options, [options.additions.parent]):
        with command.byte_bars() as report:
            fetched = SOURCES[kind].fetch(config, options.videos, options.lists, report)
            videos = list(command.progress(fetched, total=None, unit="video", text=options.dataset))
        rows = list(checksum_rows(options.videos, sorted(videos)))
        digests = {digest for _, _, digest in rows}
        added = list(fetch_additions(options.additions, options.videos, options.lists, digests))
        rows += checksum_rows(options.videos, added)
        write_csv(options.checksums, CHECKSUM_COLUMNS, sorted(rows))
    late = f" and {len(added)} taken in later" if added else ""
    print(f"{options.dataset}: {len(videos)} videos from {kind}{late}")


if __name__ == "__main__":
    command.run(__doc__, Options, main)
