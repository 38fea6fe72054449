"""Where a dataset's videos come from: the network, a folder on this machine, or the generator.

Videos are laid out as `<class>/<clip>`; their lists, where there are any, as files of one folder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsn.sources.csv_file import CsvConfig, fetch_listed
from tsn.sources.distribution import ArchivesConfig, fetch_distribution
from tsn.sources.download import Report
from tsn.sources.folder import FolderConfig, fetch_folder
from tsn.sources.synthetic import write_clips, write_lists
from tsn.sources.synthetic_motion import SyntheticConfig


def fetch_synthetic(config: SyntheticConfig, videos: Path, lists: Path, _: Report) -> Iterator[str]:
    """Render the built-in dataset and yield each video id."""
    write_lists(config, lists)
    yield from write_clips(config, videos)


def fetch_own(config: FolderConfig, videos: Path, lists: Path, _: Report) -> Iterator[str]:
    """Copy one's own clips and yield each video id."""
    yield from fetch_folder(config, videos, lists)


def fetch_from_csv(config: CsvConfig, videos: Path, lists: Path, _: Report) -> Iterator[str]:
    """Copy the clips that a CSV file lists and yield each video id."""
    yield from fetch_listed(config, videos, lists)


@dataclass(frozen=True)
class Source:
    """A kind of source: its configuration and the generator (config, videos, lists, report) of ids.

    `report` is told of downloads.
    """

    config: type
    fetch: Callable[[Any, Path, Path, Report], Iterator[str]]


SOURCES = {
    "synthetic": Source(SyntheticConfig, fetch_synthetic),
    "folder": Source(FolderConfig, fetch_own),
    "csv": Source(CsvConfig, fetch_from_csv),
    "archives": Source(ArchivesConfig, fetch_distribution),
}
