"""Where a dataset's videos come from: a folder on this machine, or the generator.

Videos are laid out as `<class>/<clip>`; their lists, where there are any, as files of one folder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsn.folder import FolderConfig, fetch_folder
from tsn.synthetic import SyntheticConfig, write_clips, write_lists


def fetch_synthetic(config: SyntheticConfig, videos: Path, lists: Path) -> Iterator[str]:
    """Renders the built-in dataset and yields each video id."""
    write_lists(config, lists)
    yield from write_clips(config, videos)


@dataclass(frozen=True)
class Source:
    """A kind of source: its configuration and the generator (config, videos, lists) of ids."""

    config: type
    fetch: Callable[[Any, Path, Path], Iterator[str]]


SOURCES = {
    "synthetic": Source(SyntheticConfig, fetch_synthetic),
    "folder": Source(FolderConfig, fetch_folder),
}
