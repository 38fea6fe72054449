"""changed_sources: find out which datasets are no longer as they are where they came from.

DVC watches recipes and what is in the project. It does not watch the folder, the CSV file or the
archives that a recipe names as a dataset's source. Names and sizes are compared, and the lists. A
file that was written later than the dataset was taken is read, and has changed if its SHA-256 has.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.runtime import params
from stages.runtime.places import SOURCES_READ, DatasetPaths
from tsn.files import file_sha256, read_csv, write_json
from tsn.sources.additions import ADDITIONS, read_additions
from tsn.sources.folder import CHECKSUM_COLUMNS, NO_LISTS, Listed, SourceError, SourceMissingError
from tsn.sources.table import SOURCES

SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What was taken: its checksums and its lists.

    read: where to keep the digests of what was read here, so that nothing is read twice.
    """

    checksums: Path
    lists: Path
    read: Path


def changed_sources(datasets: Iterable[str]) -> dict[str, list[str]]:
    """Return what has changed for each of the datasets that was taken before, if anything has.

    A source that is no longer there at all is no change. ValueError for one that can no longer be
    taken.
    """
    found = {}
    for dataset in datasets:
        paths = DatasetPaths(dataset)
        taken = Taken(
            checksums=paths.checksums,
            lists=paths.source_lists,
            read=SOURCES_READ / f"{dataset}.json",
        )
        if taken.checksums.is_file() and (lines := _changes(dataset, taken)):
            found[dataset] = lines
    return found


def _changes(dataset: str, taken: Taken) -> list[str]:
    configs = {name: source.config for name, source in SOURCES.items()}
    kind, config = params.choice(params.load_recipe(dataset), "source", configs)
    listed = SOURCES[kind].listed
    if listed is None:
        return []
    try:
        return find_changes(partial(listed, config), taken)
    except SourceMissingError:
        return []
    except SourceError as error:
        raise ValueError(
            f"{error}. It has changed since {dataset} was taken; mend it, or go on with what was "
            "taken by `dvc repro`"
        ) from error


def find_changes(listed: Callable[[Path], Listed], taken: Taken) -> list[str]:
    """Return what has changed, a line for each kind of change; none if nothing has.

    listed: writes the lists as they are now into a folder, and returns what there is to take.
    Raises SourceError where the source is not as it should be, and OSError.
    """
    with TemporaryDirectory() as folder:
        files = listed(Path(folder)).files
        lists = _differing(Path(folder), taken.lists)
    before = {row["video"]: row for row in read_csv(taken.checksums, CHECKSUM_COLUMNS)}
    for row in read_additions(taken.lists / ADDITIONS):
        before.pop(row.video, None)
    digests = _Digests(taken)
    found = {
        "new": [video for video in files if video not in before],
        "gone": [video for video in before if video not in files],
        "changed": [v for v in files if v in before and digests.differ(files[v], before[v])],
    }
    digests.keep()
    lines = [_told("video", names, kind) for kind, names in found.items() if names]
    return lines + ([_told("list", lists, "changed")] if lists else [])


def _told(what: str, names: Sequence[str], kind: str) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    things = what if len(names) == 1 else f"{what}s"
    return f"{len(names)} {things} {kind}: {', '.join(names[:SHOWN])}{more}"


def _differing(now: Path, taken: Path) -> list[str]:
    """Return the lists that are not the same in both folders."""
    names = {path.name for folder in (now, taken) for path in folder.glob("*")} - {
        ADDITIONS,
        NO_LISTS,
    }
    return sorted(name for name in names if _content(now / name) != _content(taken / name))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


class _Digests:
    """The digests of files that were read, kept with the sizes and times that they had then."""

    def __init__(self, taken: Taken) -> None:
        self._path = taken.read
        self._taken_ns = taken.checksums.stat().st_mtime_ns
        try:
            self._known: dict[str, list[object]] = json.loads(taken.read.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            self._known = {}
        self._has_more = False

    def differ(self, file: Path, row: Mapping[str, str]) -> bool:
        """Return whether a file is another than that of the row."""
        status = file.stat()
        if status.st_size != int(row["bytes"]):
            return True
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(str(file))
        if known is None and max(state[1:]) <= self._taken_ns:
            return False
        if known is None or known[:-1] != state:
            known = self._known[str(file)] = [*state, file_sha256(file)]
            self._has_more = True
        return known[-1] != row["sha256"]

    def keep(self) -> None:
        if self._has_more:
            write_json(self._path, self._known)
