"""Where a dataset's videos come from: the network, a folder on this machine, or the generator.

Videos are laid out as `<class>/<clip>`; their lists, where there are any, as files of one folder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsn.sources.csv_file import CsvConfig, fetch_csv, list_csv
from tsn.sources.distribution import ArchivesConfig, fetch_archives, list_unpacked
from tsn.sources.download import Report
from tsn.sources.folder import FolderConfig, Listed, fetch_folder, list_folder
from tsn.sources.synthetic import fetch_synthetic
from tsn.sources.synthetic_motion import SyntheticConfig


@dataclass(frozen=True)
class Source:
    """A kind of source: its configuration and the generator (config, videos, lists, report) of ids.

    `report` is told of downloads. `listed` writes the lists as they are now, and returns what there
    is to take; None for videos that no person can change.
    """

    config: type
    fetch: Callable[[Any, Path, Path, Report], Iterator[str]]
    listed: Callable[[Any, Path], Listed] | None


SOURCES = {
    "synthetic": Source(SyntheticConfig, fetch_synthetic, None),
    "folder": Source(FolderConfig, fetch_folder, list_folder),
    "csv": Source(CsvConfig, fetch_csv, list_csv),
    "archives": Source(ArchivesConfig, fetch_archives, list_unpacked),
}
