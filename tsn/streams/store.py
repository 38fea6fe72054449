"""A store of extracted videos, addressed by what they were made from.

A video's stream is a function of the video's bytes, the stream's settings and the version of the
algorithm; a result is kept under the hash of these three, so it is computed once, whatever the
video is called and whichever machine computes it first. Results are an archive and a small record,
or, for a video that cannot be used, a record alone: a bad video is not tried twice.

    <root>/ab/ab12...ef.zip     the archive, read-only
    <root>/ab/ab12...ef.json    the record, written last: without it there is no result
    <root>/lock                 shared by those who write, held alone by who removes

A record's time is when the result was last asked for.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tsn.files import TEMPORARY_SUFFIX, link_file, write_json
from tsn.locks import hold_lock
from tsn.streams.archives import ArchiveError, count_entries

logger = logging.getLogger(__name__)

_READ_ONLY = 0o444
_STALE_SECONDS = 24 * 3600
LOCK = "lock"


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """What is kept of one video's stream.

    `num_frames` decoded, `num_missing` more that the file counts; `num_entries` and `num_bytes` of
    the archive, both 0 without one; `num_unsupported` pairs whose camera motion could not be taken
    out; `defect` why there is no archive, empty if there is one.
    """

    num_frames: int
    num_missing: int
    num_entries: int
    num_bytes: int
    num_unsupported: int
    defect: str


def result_key(video_hash: str, stream: str, version: int, settings: Mapping[str, object]) -> str:
    """Return the key of a stream of a video: equal for equal bytes, settings and version."""
    made_from = {
        "video": video_hash,
        "stream": stream,
        "version": version,
        "settings": dict(settings),
    }
    canonical = json.dumps(made_from, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def stored_archive_path(root: Path, key: str) -> Path:
    """Return where the archive of a key lies, or will."""
    return Path(root) / key[:2] / f"{key}.zip"


def find_result(root: Path, key: str) -> StoredResult | None:
    """Return the result under a key, or None.

    An archive that is gone or no longer what was stored counts as no result, with a warning.
    """
    record_path = _record_path(root, key)
    try:
        result = StoredResult(**json.loads(record_path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        logger.warning("%s: unreadable record, computing it again (%s)", record_path, error)
        return None
    damage = "" if result.defect else _archive_damage(stored_archive_path(root, key), result)
    if damage:
        logger.warning("%s; computing it again", damage)
        return None
    with suppress(OSError):  # in a store that another made
        os.utime(record_path)
    return result


def put_result(root: Path, key: str, result: StoredResult) -> None:
    """Record a result, whose archive, if it has one, is in place; the archive turns read-only."""
    archive = stored_archive_path(root, key)
    if not result.defect:
        damage = _archive_damage(archive, result)
        if damage:
            other = find_result(root, key)
            if other and replace(other, num_bytes=result.num_bytes) == result:
                return  # another machine made it at the same time; its bytes can be others
            raise ArchiveError(archive, damage)
        # Outputs are hard links to this file: writing into one would change the stored result.
        archive.chmod(_READ_ONLY)
    write_json(_record_path(root, key), asdict(result))


def link_archive(root: Path, key: str, destination: Path) -> None:
    """Put the archive of a key at `destination`: a hard link, or a copy where none is possible."""
    link_file(stored_archive_path(root, key), destination)


@contextmanager
def hold_store(root: Path) -> Iterator[None]:
    """Keep `remove_entry` away while results are written that no manifest names yet."""
    with ExitStack() as stack:
        # Where there are no locks, or the file is another's, only time keeps it away.
        with suppress(OSError):
            stack.enter_context(hold_lock(Path(root) / LOCK, shared=True))
        yield


@dataclass(frozen=True, kw_only=True)
class StoreEntry:
    """What lies in a store under one key: archive, record or both; `used` is when it last was."""

    key: str
    files: tuple[Path, ...]
    used: float


def stored_entries(root: Path) -> Iterator[StoreEntry]:
    """Yield all that a store holds, whole or not."""
    files: dict[str, list[Path]] = {}
    for path in sorted(Path(root).glob("??/*")):
        if path.suffix in (".json", ".zip") and not path.name.startswith("."):
            files.setdefault(path.stem, []).append(path)
    for key, found in files.items():
        with suppress(FileNotFoundError):
            used = max(path.stat().st_mtime for path in found)
            yield StoreEntry(key=key, files=tuple(found), used=used)


def remove_entry(entry: StoreEntry) -> None:
    """Remove a result, the record first: without it there is none. Hold the store's lock alone."""
    for path in entry.files:  # .json before .zip
        path.unlink(missing_ok=True)


def sweep_store(root: Path) -> None:
    """Remove temporary files of writers killed more than a day ago."""
    for path in Path(root).glob(f"*/.*{TEMPORARY_SUFFIX}"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue


def _record_path(root: Path, key: str) -> Path:
    return stored_archive_path(root, key).with_suffix(".json")


def _archive_damage(archive: Path, result: StoredResult) -> str:
    """Say how an archive differs from its record; empty if it does not."""
    try:
        num_bytes, num_entries = archive.stat().st_size, count_entries(archive)
    except (FileNotFoundError, ArchiveError) as error:
        return str(error)
    found, expected = (num_entries, num_bytes), (result.num_entries, result.num_bytes)
    return "" if found == expected else f"{archive}: (entries, bytes) {found}, stored {expected}"
