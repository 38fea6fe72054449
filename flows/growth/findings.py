"""What can be reclaimed of a workspace: a finding for each kind, with what it would free."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What there is of one kind.

    what: the kind. text: what of it nobody needs. paths: the files that go. free: removes them.
    kept: what is left alone and why, or nothing.
    """

    what: str
    text: str = ""
    paths: tuple[Path, ...] = ()
    free: Callable[[], object] | None = None
    kept: str = ""


def files_below(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder, links as such."""
    return tuple(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def freed_bytes(paths: Iterable[Path]) -> int:
    """Return what the disk gets back: a file with other names is freed with the last of them."""
    names: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for path in set(paths):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        inode = (found.st_dev, found.st_ino)
        names[inode] = names.get(inode, 0) + 1
        sizes[inode] = (found.st_size, found.st_nlink)
    return sum(size for inode, (size, links) in sizes.items() if names[inode] >= links)


def all_bytes(paths: Iterable[Path]) -> int:
    """Return the size of files, whatever other names they have."""
    return sum(path.lstat().st_size for path in paths if path.is_symlink() or path.exists())


def size(num_bytes: int) -> str:
    """Return a size as people read it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes} bytes"
