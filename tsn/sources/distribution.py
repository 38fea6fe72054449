"""A dataset as its authors distribute it: archives of videos and of lists, from the network.

Everything is kept in one folder: the archives as they were fetched, and what they held, as
`videos/<class>/<clip>` and `lists/`. What is put there by hand, an archive or what it holds, is
taken as it is.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tsn.files import TEMPORARY_SUFFIX, link_file
from tsn.sources.download import FetchError, Report, fetch, no_report
from tsn.sources.folder import FolderConfig, fetch_folder
from tsn.sources.unpack import Place, unpack

VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".wmv")


@dataclass(frozen=True, kw_only=True)
class DistributedFile:
    """An archive that several hosts serve.

    `size` in bytes (0: not known) and `sha256` ("": not known) tell it from what else they serve.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name is {self.name!r}, expected that of a file, without a folder")
        if self.size < 0:
            raise ValueError(f"size is {self.size}, expected bytes, or 0 for unknown")
        if not set(self.sha256) <= set("0123456789abcdef"):
            raise ValueError(f"sha256 is {self.sha256!r}, expected hexadecimal digits, or none")


@dataclass(frozen=True, kw_only=True)
class DistributionConfig:
    """Archives of `videos` and of `lists`, and the `folder` that they are fetched to."""

    folder: str
    videos: tuple[DistributedFile, ...]
    lists: tuple[DistributedFile, ...]


def fetch_distribution(
    config: DistributionConfig, videos: Path, lists: Path, report: Report = no_report
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
        with _locked(folder):
            _complete(folder, part, files, place, report)
    unpacked = FolderConfig(videos=str(folder / "videos"), lists=str(folder / "lists"))
    yield from fetch_folder(unpacked, videos, lists, put=link_file)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others, who want the same archives for another recipe, waiting."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _complete(
    folder: Path, part: str, files: tuple[DistributedFile, ...], place: Place, report: Report
) -> None:
    """Leave in `folder / part` what the archives hold."""
    into, unfinished = folder / part, folder / f".{part}.unfinished"
    if not unfinished.exists() and into.is_dir() and any(into.iterdir()):
        return  # unpacked before, or put there by hand
    for leftover in into.rglob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink()
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


def _video_place(member: PurePosixPath) -> str | None:
    """`<class>/<clip>`, however deep the archive has it."""
    if member.suffix.lower() not in VIDEO_SUFFIXES or len(member.parts) < 2 or _is_hidden(member):
        return None
    return "/".join(member.parts[-2:])


def _list_place(member: PurePosixPath) -> str | None:
    return member.name if member.suffix == ".txt" and not _is_hidden(member) else None


def _is_hidden(member: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in member.parts)
