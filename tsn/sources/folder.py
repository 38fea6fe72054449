"""Videos in a folder, laid out as `<class>/<clip>`; a video's id is that path."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tsn.files import copy_file, file_sha256

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


def fetch_folder(
    config: FolderConfig,
    videos: Path,
    lists: Path,
    _report: object = None,
    put: Callable[[Path, Path], None] = copy_file,
) -> Iterator[str]:
    """Copy the clips (and list files), or link them, and yield each video id."""
    for video, file in list_folder(config, lists).items():
        put(file, videos / video)
        yield video


def list_folder(config: FolderConfig, lists: Path) -> dict[str, Path]:
    """Copy the list files, and return the file of each video id."""
    source = Path(config.videos)
    clips = folder_videos(source)
    lists.mkdir(parents=True, exist_ok=True)
    if config.lists is not None:
        for path in _list_files(Path(config.lists)):
            copy_file(path, lists / path.name)
    return {video: source / video for video in clips}


def folder_videos(folder: Path) -> list[str]:
    """Return the ids `<class>/<clip>` below a folder, sorted; hidden files do not count.

    SourceError when there are none, or a file lies outside a class folder.
    """
    if not folder.is_dir():
        raise SourceMissingError(
            f"{folder}: no such folder; put or link the videos there as <class>/<clip>, "
            "or set the path in the recipe's source section"
        )
    files = [path.relative_to(folder) for path in visible_files(folder)]
    misplaced = [path for path in files if len(path.parts) != 2]
    if misplaced:
        raise SourceError(f"{folder / misplaced[0]}: expected <class>/<clip> below {folder}")
    for path in files:
        if has_control_character(str(path)):
            raise SourceError(f"{folder}: {str(path)!r} has a control character; rename it")
    if not files:
        raise SourceError(f"{folder}: holds no videos; expected <class>/<clip>")
    return sorted(path.as_posix() for path in files)


def has_control_character(name: str) -> bool:
    """Return whether a name has a line break or the like, which lists of names cannot hold."""
    return any(ord(character) < 32 for character in name)


def checksum_rows(folder: Path, videos: list[str]) -> Iterator[tuple[str, int, str]]:
    """Yield (video, bytes, sha256) of each video."""
    for video in videos:
        yield video, (folder / video).stat().st_size, file_sha256(folder / video)


def _list_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceMissingError(
            f"{folder}: no such folder of lists; set it in the recipe's source section"
        )
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [path for path in files if not path.name.startswith(".")]


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted, but for hidden ones."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from visible_files(path)
        elif path.is_file():
            yield path
