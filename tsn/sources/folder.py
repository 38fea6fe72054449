"""Videos in a folder, laid out as `<class>/<clip>`; a video's id is that path.

What cannot be taken of a person's folder is told one by one, and the rest is taken.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tsn.files import copy_file, file_sha256
from tsn.names import NOT_UTF8, is_utf8, name_problem, shown

logger = logging.getLogger(__name__)
EMPTY, NOT_THERE = "an empty folder", "no such video file"
# Errors that are one file's. Others are the disk's.
_OF_ONE_FILE = {
    errno.ENOENT: NOT_THERE,
    errno.ENOTDIR: NOT_THERE,
    errno.EACCES: "may not be read; change its permissions",
    errno.EPERM: "may not be read; change its permissions",
    errno.ELOOP: "a link that leads to itself",
    errno.ENAMETOOLONG: "its name or path is too long; rename it",
    errno.EISDIR: "a folder, expected a file",
    errno.ENXIO: "no ordinary file",
}
_SHOWN = 5

NO_LISTS = "no_lists.txt"  # in the place of list files
WITHOUT_LISTS = "This source has no list files: the recipe's `split` deals its videos out.\n"
CHECKSUM_COLUMNS = ("video", "bytes", "sha256")


class SourceError(ValueError):
    """Videos or lists that are not where the recipe says."""


class SourceMissingError(SourceError):
    """There is no such folder, or file, at all."""


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """A folder of `<class>/<clip>` files, and the folder of its lists, if it has any."""

    videos: str
    lists: str | None


@dataclass(frozen=True)
class Listed:
    """The file of each video id of a source, and why what else it has cannot be taken."""

    files: Mapping[str, Path]
    left_out: Mapping[str, str]


def fetch_folder(
    config: FolderConfig,
    videos: Path,
    lists: Path,
    _report: object = None,
    put: Callable[[Path, Path], None] = copy_file,
) -> Iterator[str]:
    """Copy the clips (and list files), or link them, and yield each video id."""
    yield from take(list_folder(config, lists), videos, put)


def take(
    listed: Listed, videos: Path, put: Callable[[Path, Path], None] = copy_file
) -> Iterator[str]:
    """Put each listed file in its place, and yield its video id; tell what is left out."""
    tell_left_out(listed.left_out)
    for video, file in listed.files.items():
        put(file, videos / video)
        yield video


def list_folder(config: FolderConfig, lists: Path) -> Listed:
    """Copy the list files, and return what there is to take; without any, a note says so.

    DVC warns of an output folder that is empty.
    """
    source = Path(config.videos)
    clips, left_out = find_videos(source)
    lists.mkdir(parents=True, exist_ok=True)
    if config.lists is None:
        (lists / NO_LISTS).write_text(WITHOUT_LISTS, encoding="utf-8")
    else:
        for name, problem in _list_files(Path(config.lists)).items():
            if problem:
                left_out[f"{config.lists}/{name}"] = problem
            else:
                copy_file(Path(config.lists) / name, lists / name)
    return Listed({video: source / video for video in clips}, left_out)


def find_videos(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the ids `<class>/<clip>` below a folder, sorted, and why what else it holds is none.

    Hidden files do not count. SourceError when there are no videos.
    """
    if not folder.is_dir():
        raise SourceMissingError(
            f"{shown(folder)}: no such folder; put or link the videos there as <class>/<clip>, "
            "or set the path in the recipe's source section"
        )
    found = dict(look_through(folder))
    left_out = {name: problem for name, problem in found.items() if problem}
    if len(left_out) == len(found):
        raise SourceError(
            f"{shown(folder)}: holds no videos; expected <class>/<clip>{first_of(left_out)}"
        )
    return sorted(found.keys() - left_out), left_out


def folder_videos(folder: Path) -> list[str]:
    """Return the ids of `find_videos`; SourceError for a folder that has other files."""
    videos, left_out = find_videos(folder)
    for name, problem in left_out.items():
        if problem != EMPTY:
            raise SourceError(f"{shown(folder / name)}: {problem}")
    return videos


def look_through(folder: Path, within: Path | None = None) -> Iterator[tuple[str, str]]:
    """Yield the path of all that should be `<class>/<clip>` below a folder, sorted, each with why
    it cannot be a video, "" if it can.

    Links are followed, but not out of `within`. No deeper folder is looked into, so that links
    cannot lead in circles.
    """
    expected = f"expected <class>/<clip> below {shown(folder)}"
    names = _visible(folder)
    # A folder goes before links that show it, whatever their names.
    classes = {
        (folder / name).resolve(): name
        for name in names
        if not (folder / name).is_symlink() and not name_problem(name)
    }
    for name in names:
        inner = folder / name
        if not _is_folder(inner):
            yield name, name_problem(name) or file_problem(inner, within) or expected
        elif problem := name_problem(name) or _class_problem(inner, folder, within, classes):
            yield name, problem
        else:
            for clip in _visible(inner):
                path = inner / clip
                problem = f"a folder, {expected}" if _is_folder(path) else name_problem(clip)
                yield f"{name}/{clip}", problem or file_problem(path, within)


def _class_problem(path: Path, folder: Path, within: Path | None, classes: dict[Path, str]) -> str:
    """Return why a folder cannot be that of a class, "" if it can: it is added to `classes`."""
    meant = path.resolve()
    if within is not None and not meant.is_relative_to(within.resolve()):
        return f"a link that leads out of {shown(within)}"
    if folder.resolve().is_relative_to(meant):
        return f"a link that leads back to {shown(folder)}"
    if classes.setdefault(meant, path.name) != path.name:
        return f"the same folder as {shown(classes[meant])}"
    try:
        return "" if _visible(path) else EMPTY
    except OSError as error:
        return own_problem(path, error)


def file_problem(path: Path, within: Path | None = None) -> str:
    """Return why a file cannot be read, "" if it can. A link out of `within` is not followed.

    Raises the OSErrors of a disk that fails.
    """
    if not is_utf8(str(path)):
        return NOT_UTF8
    try:
        mode = path.stat().st_mode
        if within is not None and not path.resolve().is_relative_to(within.resolve()):
            return f"a link that leads out of {shown(within)}"
        if not stat.S_ISREG(mode):
            return "a folder, expected a file" if stat.S_ISDIR(mode) else "no ordinary file"
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # it may be a pipe by now
    except OSError as error:
        return own_problem(path, error)
    return ""


def own_problem(path: Path, error: OSError) -> str:
    """Return what an error says of a file; raise it again where it says something of the disk."""
    if error.errno not in _OF_ONE_FILE:
        raise error
    if error.errno == errno.ENOENT and path.is_symlink():
        return "a broken link"
    return _OF_ONE_FILE[error.errno]


def tell_left_out(left_out: Mapping[str, str]) -> None:
    """Log what is not taken of a person's files, a line each."""
    for name, problem in left_out.items():
        logger.warning("left out %s: %s", shown(name), problem)


def first_of(left_out: Mapping[str, str]) -> str:
    """Return the end of an error that names the first of what cannot be taken."""
    lines = [f"{shown(name)}: {problem}" for name, problem in left_out.items()]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "".join(f"\n  {line}" for line in [*lines[:_SHOWN], *more])


def checksum_rows(folder: Path, videos: list[str]) -> Iterator[tuple[str, int, str]]:
    """Yield (video, bytes, sha256) of each video."""
    for video in videos:
        yield video, (folder / video).stat().st_size, file_sha256(folder / video)


def _list_files(folder: Path) -> dict[str, str]:
    """Return the names in a folder of lists, and why they cannot be taken, "" if they can."""
    if not folder.is_dir():
        raise SourceMissingError(
            f"{folder}: no such folder of lists; set it in the recipe's source section"
        )
    return {name: name_problem(name) or file_problem(folder / name) for name in _visible(folder)}


def _visible(folder: Path) -> list[str]:
    """Return the names in a folder, sorted, but for hidden ones."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder; of one that may not be asked, False."""
    with suppress(OSError):
        return path.is_dir()
    return False
