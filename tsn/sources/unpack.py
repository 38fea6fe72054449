"""Archives of videos and lists, unpacked member by member: safely, checked, and in several goes.

Zip is read by Python, RAR by rarfile, which has unrar, unar or 7z decompress what is not merely
stored. Archives within an archive are unpacked too: HMDB51 is a RAR of 51 RARs.
"""

import errno
import logging
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import rarfile

from tsn.files import atomic_path
from tsn.names import name_problem, shown

logger = logging.getLogger(__name__)
Place = Callable[[PurePosixPath], str | None]

_CHUNK = 1 << 20
_MAX_DEPTH = 2  # archives within archives
_MAX_RATIO = 50  # of what an archive unpacks to, to its own size; videos hardly compress
_MAX_MEMBERS = 1_000_000
_ALWAYS_ALLOWED = 100 << 20  # bytes: lists of text do compress
_ARCHIVES = (".rar", ".zip")
# Errors of a damaged archive, with those of OSError that `_refuse_disk_error` lets by.
_DAMAGED = (
    zipfile.BadZipFile,
    rarfile.Error,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    UnicodeDecodeError,
)
_TOOLS = "unrar, unar or 7z"
_INSTALL = "on Debian and Ubuntu: `apt install unar`, or `unrar` from non-free"


class UnpackError(ValueError):
    """An archive that cannot be unpacked as a whole, or must not be."""

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(f"{archive}: {reason}")


@dataclass(frozen=True, kw_only=True)
class _Member:
    path: PurePosixPath
    size: int
    crc: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, place: Place) -> Iterator[Path]:
    """Unpack an archive below `folder` and yield every file's path there.

    `place` says where a member goes, a path below `folder`, or None to leave it out. One whose name
    no file can have here is told and left out; a zip that calls a name UTF-8 which is not is
    damaged. A file that is there already, of the member's size and CRC, stays: so a call after a
    kill goes on. Every file is checked before it gets its name.

    Raises UnpackError, before anything is written, for a member that is a link, is encrypted or
    leads out of the folder, for two members at one place, for one at the place of another's folder,
    and for an archive that would unpack to more than fits on the disk or than an honest one does;
    later, for a damaged member, when no program decompresses it, and when the archives within it
    add up to more than that.
    """
    budget = _Budget(archive)
    yield from _unpack(Path(archive), Path(folder), place, {}, budget, depth=0)


class _Budget:
    """What an archive may unpack to, with all archives within it, and in how many members."""

    def __init__(self, archive: Path) -> None:
        self._archive, self._own = archive, archive.stat().st_size
        self._bytes = self._members = 0

    def spend(self, infos: Sequence[Any]) -> None:
        """Count an archive's entries; UnpackError when an honest one has less."""
        self._members += len(infos)
        if self._members > _MAX_MEMBERS:
            raise UnpackError(self._archive, f"{self._members} members, at most {_MAX_MEMBERS}")
        self._bytes += sum(info.file_size for info in infos)
        if self._bytes > max(_MAX_RATIO * self._own, _ALWAYS_ALLOWED):
            told = f"{self._own} bytes that would unpack to {self._bytes}"
            raise UnpackError(self._archive, f"{told}: no honest archive of videos")


def _unpack(
    archive: Path,
    folder: Path,
    place: Place,
    taken: dict[str, PurePosixPath],
    budget: _Budget,
    depth: int,
) -> Iterator[Path]:
    with _members(archive, budget) as members:
        placed = _placed(archive, members, place, taken)
        inner = [
            member
            for member in members
            if member.path.suffix.lower() in _ARCHIVES and _has_good_name(archive, member)
        ]
        if inner and depth == _MAX_DEPTH:
            raise UnpackError(archive, f"archives within archives, {_MAX_DEPTH} deep; unpack it")
        missing = {
            target: member
            for target, member in placed.items()
            if not _is_there(folder / target, member)
        }
        _refuse_full_disk(archive, folder, [*missing.values(), *inner])
        for target, member in placed.items():
            if target in missing:
                _write(archive, member, folder / target)
            yield folder / target
        for member in inner:
            copy = folder / f".{depth}.{member.path.name}"
            try:
                _write(archive, member, copy)
                yield from _unpack(copy, folder, place, taken, budget, depth + 1)
            finally:
                copy.unlink(missing_ok=True)


@contextmanager
def _members(archive: Path, budget: _Budget) -> Iterator[list[_Member]]:
    """Give the files of an archive, refused where they are no plain files within it."""
    try:
        opened: Any
        if rarfile.is_rarfile(archive):  # asked first: a RAR can end like a zip that it holds
            opened, member = rarfile.RarFile(archive, errors="strict"), _rar_member
        elif zipfile.is_zipfile(archive):
            opened, member = zipfile.ZipFile(archive), _zip_member
        else:
            raise UnpackError(archive, "neither a zip nor a RAR archive")
    except rarfile.RarCannotExec as error:  # for a comment that is compressed
        raise UnpackError(archive, _no_tool()) from error
    except (*_DAMAGED, NotImplementedError, OSError) as error:
        _refuse_disk_error(error)
        raise UnpackError(archive, f"damaged archive: {error}") from error
    with opened:
        # Python 3.11 cannot ask one without a name.
        infos = [info for info in opened.infolist() if not (info.filename and info.is_dir())]
        budget.spend(infos)
        yield [member(archive, opened, info) for info in infos]


def _zip_member(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    path = _inside(archive, info.filename)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnpackError(archive, f"{path} is a link")
    if info.flag_bits & 1:
        raise UnpackError(archive, f"{path} is encrypted")
    return _Member(path=path, size=info.file_size, crc=info.CRC, open=lambda: opened.open(info))


def _rar_member(archive: Path, opened: Any, info: Any) -> _Member:
    path = _inside(archive, info.filename)
    if info.is_symlink() or info.file_redir:
        raise UnpackError(archive, f"{path} is a link")
    if info.needs_password():
        raise UnpackError(archive, f"{path} is encrypted")
    return _Member(
        path=path, size=info.file_size, crc=info.CRC, open=lambda: _open_in_rar(opened, info)
    )


def _open_in_rar(opened: Any, info: Any) -> IO[bytes]:
    if info.compress_type != rarfile.RAR_M0:
        rarfile.tool_setup(bsdtar=False)  # rarfile calls bsdtar in a way that it does not take
    member: IO[bytes] = opened.open(info)
    return member


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    is_bad = path.is_absolute() or ".." in path.parts or "\0" in name
    if not path.parts or is_bad or ":" in path.parts[0]:
        raise UnpackError(archive, f"member {name!r} leads out of the archive's folder")
    return path


def _refuse_full_disk(archive: Path, folder: Path, members: list[_Member]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise UnpackError(
            archive, f"unpacks to {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free"
        )


def _placed(
    archive: Path, members: list[_Member], place: Place, taken: dict[str, PurePosixPath]
) -> dict[str, _Member]:
    """Return the members by their places below the folder, and add these to `taken`.

    The name of a folder ends with a slash there.
    """
    placed: dict[str, _Member] = {}
    for member in members:
        target = place(member.path)
        if target is None or not _has_good_name(archive, member):
            continue
        folders = [f"{folder}/" for folder in PurePosixPath(target).parents]
        for name in (target, f"{target}/", *(folder[:-1] for folder in folders)):
            if name in taken:
                two, one = f"{member.path} and {taken[name]}", name.rstrip("/")
                both = "are one" if name == target else "need a file and a folder of one name:"
                raise UnpackError(archive, f"{two} {both} {one}")
        placed[target], taken[target] = member, member.path
        taken.update(dict.fromkeys(folders, member.path))
    return placed


def _has_good_name(archive: Path, member: _Member) -> bool:
    problem = next(filter(None, map(name_problem, member.path.parts)), "")
    if problem:
        logger.warning("%s: left out %s: %s", archive, shown(member.path), problem)
    return not problem


def _is_there(path: Path, member: _Member) -> bool:
    if not path.is_file() or path.stat().st_size != member.size:
        return False
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc == member.crc


def _write(archive: Path, member: _Member, path: Path) -> None:
    try:
        with atomic_path(path) as temporary, member.open() as source, temporary.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
            if file.tell() != member.size:
                raise UnpackError(archive, f"damaged: {member.path} ends early")
    except rarfile.RarCannotExec as error:
        raise UnpackError(archive, _no_tool()) from error
    except NotImplementedError as error:  # a method of packing that Python does not know
        raise UnpackError(
            archive, f"{member.path}: {error}; unpack it by hand into {path.parent.parent}"
        ) from error
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UnpackError(
                archive, f"the disk of {path.parent} is full; the next call continues"
            ) from error
        _refuse_disk_error(error)
        raise UnpackError(archive, f"damaged: {member.path}: {error}{_other_tool()}") from error


def _refuse_disk_error(error: Exception) -> None:
    """Raise an error again that is the disk's, or a folder's, and none of what an archive holds."""
    # bz2's errors have no number; to look before the beginning of a file is EINVAL
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error


def _no_tool() -> str:
    return f"compressed, and none of {_TOOLS} is installed; {_INSTALL}"


def _other_tool() -> str:
    """Return a doubt in the program used: Debian's 7z knows no RAR, unar not every solid one."""
    if rarfile.CURRENT_SETUP is None:
        return ""
    tool = Path(rarfile.CURRENT_SETUP.get_cmdline("check_cmd", None)[0]).name
    return f"; or {tool} cannot decompress it: try another of {_TOOLS} ({_INSTALL})"
