"""A dataset as its authors distribute it: archives of videos and of lists, from the network.

Everything is kept in one folder: the archives as they were fetched, and what they held, as
`videos/<class>/<clip>` and `lists/`. What is put there by hand, an archive or what it holds, is
taken as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tsn.files import TEMPORARY_SUFFIX, link_file
from tsn.locks import hold_lock
from tsn.sources.download import FetchError, Report, fetch, no_report
from tsn.sources.folder import FolderConfig, Listed, fetch_folder, list_folder
from tsn.sources.unpack import Place, unpack

HEXADECIMAL = set("0123456789abcdef")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".wmv")


@dataclass(frozen=True, kw_only=True)
class ArchiveFile:
    """An archive that several hosts serve.

    `size` in bytes and `sha256`, where they are known, tell it from what else they serve.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    sha256: str | None

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name is {self.name!r}, expected that of a file, without a folder")
        if self.size is not None and self.size < 1:
            raise ValueError(f"size is {self.size}, expected bytes, or null for unknown")
        if self.sha256 is not None and not (self.sha256 and set(self.sha256) <= HEXADECIMAL):
            raise ValueError(f"sha256 is {self.sha256!r}, expected hexadecimal digits, or null")


@dataclass(frozen=True, kw_only=True)
class ArchivesConfig:
    """Archives of `videos` and of `lists`, and the `folder` that they are fetched to."""

    folder: str
    videos: tuple[ArchiveFile, ...]
    lists: tuple[ArchiveFile, ...]


def fetch_archives(
    config: ArchivesConfig, videos: Path, lists: Path, report: Report = no_report
) -> Iterator[str]:
    """Fetch and unpack what is missing, put it in place and yield each video id.

    A call after a kill goes on where that one ended. Raises FetchError, which says where to put
    the files by hand, and UnpackError.
    """
    folder = Path(config.folder)
    for part, files, place in (
        ("lists", config.lists, _list_place),
        ("videos", config.videos, _video_place),
    ):
        with hold_lock(folder / ".lock"):  # others may want the same archives
            _complete(folder, part, files, place, report)
    for out in (videos, lists):
        _drop_leftovers(out)
    yield from fetch_folder(_unpacked(config), videos, lists, put=link_file)


def list_unpacked(config: ArchivesConfig, lists: Path) -> Listed:
    """Copy the list files that were unpacked, and return what there is to take."""
    return list_folder(_unpacked(config), lists)


def _unpacked(config: ArchivesConfig) -> FolderConfig:
    folder = Path(config.folder)
    return FolderConfig(videos=str(folder / "videos"), lists=str(folder / "lists"))


def _complete(
    folder: Path, part: str, files: tuple[ArchiveFile, ...], place: Place, report: Report
) -> None:
    """Leave in `folder / part` what the archives hold."""
    into, unfinished = folder / part, folder / f".{part}.unfinished"
    if not unfinished.exists() and into.is_dir() and any(into.iterdir()):
        return  # unpacked before, or put there by hand
    _drop_leftovers(into)
    for file in files:
        archive = fetch(
            file.urls,
            folder / file.name,
            sha256=file.sha256,
            size=file.size,
            report=report,
            by_hand=f", or what it holds into {into}",
        )
        unfinished.touch()
        num_files = sum(1 for _ in unpack(archive, into, place))
        if not num_files:
            raise FetchError(f"{archive}: holds no {part}; remove it to have it fetched again")
    unfinished.unlink(missing_ok=True)


def _drop_leftovers(folder: Path) -> None:
    """Remove the files that a kill has left unfinished."""
    for leftover in folder.rglob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink()


def _video_place(member: PurePosixPath) -> str | None:
    """Return `<class>/<clip>`, however deep the archive has it."""
    if member.suffix.lower() not in VIDEO_SUFFIXES or len(member.parts) < 2 or _is_hidden(member):
        return None
    return "/".join(member.parts[-2:])


def _list_place(member: PurePosixPath) -> str | None:
    return member.name if member.suffix == ".txt" and not _is_hidden(member) else None


def _is_hidden(member: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in member.parts)
