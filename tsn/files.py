"""Files that are complete or absent, whenever a process is killed."""

import csv
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a name beside `path` to write to; it becomes `path` when the block ends well.

    durable: also when the machine goes down, for some milliseconds more.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without its own name, which may be as long as a name can be.
    temporary = path.with_name(f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        if durable:
            _to_disk(temporary)  # or the name may be kept and the content lost
        temporary.replace(path)
        if durable:
            with suppress(OSError):  # some network disks know this of files alone
                _to_disk(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, complete or absent."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def link_file(source: Path, target: Path) -> None:
    """Put a file at another place, too: by a hard link, or a copy where none is possible."""
    with atomic_path(target) as temporary:
        try:
            os.link(Path(source).resolve(), temporary)  # of the file that a symbolic link means
        except OSError:
            shutil.copyfile(source, temporary)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with its columns in the first line; equal rows give equal bytes."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the lines of a table, each by its columns; others than `columns` are left out.

    Raises ValueError for a table without one of them, for a line that is short, and for no table.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:  # a person's may have a mark
        reader = csv.DictReader(file)
        try:
            names, lines = reader.fieldnames, list(reader)
        except csv.Error as error:
            raise ValueError(f"{path}: not CSV ({error})") from error
    if not set(columns) <= set(names or ()):
        raise ValueError(f"{path}: expected the columns {','.join(columns)}, got {names}")
    rows = [{column: line[column] for column in columns} for line in lines]
    for number, row in enumerate(rows, 2):
        if None in row.values():
            raise ValueError(f"{path}: row {number} has fewer values than columns")
    return rows


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, letters as they are, with a newline at its end."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. OSError for a pipe and all that is no file."""
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ENXIO, "no ordinary file", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe too, without waiting for one who writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def json_sha256(content: Any) -> str:
    """Return the SHA-256 of anything that JSON can hold, whatever the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
