"""A stream of a video on disk: one zip of JPEGs per video, and a manifest beside them.

A stream directory holds `<video>.zip` for every video id and `manifest.csv`. An archive is an
uncompressed zip that ordinary tools open. Its members, numbered from 1, are `img_00001.jpg`
(colour) or the pair `flow_x_00001.jpg`, `flow_y_00001.jpg` (gray). Equal entries give equal bytes:
members are sorted and carry one fixed time.

Layout: entries are (T, H, W, C) uint8; C is 3 (B, G, R) or 2 (x, y).
"""

import csv
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from tsn.files import atomic_path, write_csv
from tsn.workers.prefetch import map_ahead

Entries = npt.NDArray[np.uint8]
Image = npt.NDArray[np.uint8]

MEMBERS = {3: ("img_{:05d}.jpg",), 2: ("flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg")}
MANIFEST = "manifest.csv"
OK = "ok"
QUARANTINED = "quarantined"

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_MAX_MEMBERS = 65_534  # more need the zip64 extension
MAX_ENTRIES = _MAX_MEMBERS // max(map(len, MEMBERS.values()))
_MAX_BYTES = 2**31 - 1  # before the directory; zipfile writes zip64 beyond it, too
_END_RECORD = struct.Struct("<4s4H2LH")
_LOCAL_HEADER_BYTES = 30
_CENTRAL_HEADER_BYTES = 46


class ArchiveError(ValueError):
    """An archive that is not what it should be: truncated, short, damaged or of another layout."""

    def __init__(self, path: Path | str, found: str = "") -> None:
        hint = "Delete the file and run the extraction of its stream again."
        super().__init__(f"{path}: {found}. {hint}" if found else path)  # a worker hands on text


class ArchiveFullError(ValueError):
    """Images of more bytes than an archive holds. `reason` says so without the path."""

    def __init__(self, path: Path) -> None:
        self.reason = f"too large for an archive of {_MAX_BYTES} bytes; cut the video up"
        super().__init__(f"{path}: {self.reason}")


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One video of a stream: `entries` images of `width` x `height`, or why there are none.

    `missing` frames more are counted by the file but cannot be decoded. `key` identifies the
    content: a digest of the video's bytes and of how it was extracted.
    """

    video: str
    entries: int
    missing: int
    width: int
    height: int
    status: str
    reason: str
    key: str


def archive_path(stream_dir: Path, video: str) -> Path:
    """Return where the archive of a video lies in a stream directory."""
    return Path(stream_dir) / f"{video}.zip"


def write_archive(
    path: Path, entries: Iterable[npt.NDArray[np.uint8]], jpeg_quality: int, threads: int = 1
) -> int:
    """Write (H, W, 3) or (H, W, 2) entries as JPEGs and return their number.

    The file appears under its name only when it is whole. `threads` encode while the next entries
    are made; they change no byte. Images are written as they come; only those along y wait for the
    last along x. Raises ValueError for no entries, for entries of different shapes, and for more of
    them than a plain zip holds; ArchiveFullError for more bytes, as soon as there are.
    """
    encode = partial(_encode, jpeg_quality=jpeg_quality)
    num_entries, num_bytes, later = 0, 0, dict[str, bytes]()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "x") as archive:

        def add(name: str, image: bytes) -> None:
            if len(archive.filelist) == _MAX_MEMBERS:
                raise ValueError(f"{path}: more than {_MAX_MEMBERS} images to write")
            archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), image)

        for first, *others in map_ahead(encode, _of_one_shape(path, entries), threads):
            for name, image in (first, *others):
                num_bytes += _LOCAL_HEADER_BYTES + len(name) + len(image)
            if num_bytes > _MAX_BYTES:
                raise ArchiveFullError(path)
            add(*first)
            later.update(others)  # flow_y, after all of flow_x
            num_entries += 1
        for name, image in later.items():
            add(name, image)
        if num_entries == 0:
            raise ValueError(f"{path}: no entries to write")
    return num_entries


class Archive:
    """An archive that is open for reading: a context manager. Only what is asked for is read.

    Raises FileNotFoundError where there is no file, ArchiveError for one that is truncated or is
    no archive. It may be used by one thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            message = f"{path}: no such archive; run the extraction first"
            raise FileNotFoundError(message) from None
        try:
            self._directory = _read_directory(path, self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def num_entries(self) -> int:
        """Return how many entries the archive holds."""
        return self._directory.num_entries

    def images(self, indices: Sequence[int]) -> list[Image]:
        """Return the images of the entries at `indices` (from 0, any order, repeats allowed).

        A frame is one image (H, W, 3), flow is two (H, W): x and y. Raises ArchiveError for an
        index that is not there and for a member that does not decode or does not match its
        checksum.
        """
        missing = [index for index in indices if not 0 <= index < self.num_entries]
        if missing or not len(indices):
            raise ArchiveError(
                self.path,
                f"entries {missing} asked for, the archive has 0 to {self.num_entries - 1}",
            )
        planes = range(len(MEMBERS[self._directory.channels]))
        members = [plane * self.num_entries + index for index in indices for plane in planes]
        return [self._image(*row) for row in self._directory.records[members].tolist()]

    def _image(self, crc: int, size: int, offset: int, name: bytes) -> Image:
        data = os.pread(self._descriptor, size, offset + _LOCAL_HEADER_BYTES + len(name))
        if zlib.crc32(data) != crc:
            raise ArchiveError(self.path, f"member {name.decode()} does not match its checksum")
        colour = cv2.IMREAD_COLOR if self._directory.channels == 3 else cv2.IMREAD_GRAYSCALE
        image: Image | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), colour)
        if image is None:
            raise ArchiveError(self.path, f"member {name.decode()} is no JPEG")
        return image


def count_entries(path: Path) -> int:
    """Return how many entries an archive holds; ArchiveError if it is truncated or not one."""
    with Archive(path) as archive:
        return archive.num_entries


def read_entries(path: Path, indices: Sequence[int]) -> Entries:
    """Return the entries at `indices` of an archive, as `Archive.images`, as (T, H, W, C)."""
    with Archive(path) as archive:
        images = archive.images(indices)
    if images[0].ndim == 3:
        return np.stack(images)
    return np.stack([np.stack(images[plane::2]) for plane in range(2)], axis=3)


def write_manifest(rows: Iterable[ManifestRow], stream_dir: Path) -> Path:
    """Write the manifest of a stream directory, sorted by video, and return its path."""
    path = Path(stream_dir) / MANIFEST
    lines = (astuple(row) for row in sorted(rows, key=lambda row: row.video))
    write_csv(path, _manifest_columns(), lines)
    return path


def read_manifest(stream_dir: Path) -> dict[str, ManifestRow]:
    """Return the rows of a stream directory's manifest by video.

    Raises FileNotFoundError when there is none, ValueError for other columns or a bad line.
    """
    path = Path(stream_dir) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no manifest; run the extraction of this stream first")
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or lines[0] != _manifest_columns():
        raise ValueError(
            f"{path}: columns {lines[:1]}, expected {_manifest_columns()}; extract the stream again"
        )
    rows = (_manifest_row(path, number, line) for number, line in enumerate(lines[1:], start=2))
    return {row.video: row for row in rows}


def _manifest_columns() -> list[str]:
    return [field.name for field in fields(ManifestRow)]


def _manifest_row(path: Path, number: int, line: list[str]) -> ManifestRow:
    try:
        video, entries, missing, width, height, status, reason, key = line
        row = ManifestRow(
            video=video,
            entries=int(entries),
            missing=int(missing),
            width=int(width),
            height=int(height),
            status=status,
            reason=reason,
            key=key,
        )
    except ValueError as error:
        raise ValueError(f"{path} line {number}: cannot read {line}: {error}") from error
    if status not in (OK, QUARANTINED):
        raise ValueError(
            f"{path} line {number}: status {status!r} is neither {OK} nor {QUARANTINED}"
        )
    return row


def _of_one_shape(
    path: Path, entries: Iterable[npt.NDArray[np.uint8]]
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Yield (number from 1, entry), all (H, W, 2) or (H, W, 3) and like the first."""
    shape: tuple[int, ...] | None = None
    for number, entry in enumerate(entries, start=1):
        shape = shape or entry.shape
        if entry.shape != shape or entry.ndim != 3 or entry.shape[2] not in MEMBERS:
            raise ValueError(
                f"{path}: entry {number} has shape {entry.shape}, expected {shape}, 2 or 3 channels"
            )
        yield number, entry


def _encode(
    numbered: tuple[int, npt.NDArray[np.uint8]], jpeg_quality: int
) -> list[tuple[str, bytes]]:
    number, entry = numbered
    names = MEMBERS[entry.shape[2]]
    images = []
    for name, image in zip(names, _images(entry), strict=True):
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
        if not done:
            raise RuntimeError(f"OpenCV could not encode an image of shape {image.shape}")
        images.append((name.format(number), data.tobytes()))
    return images


def _images(entry: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    if entry.shape[2] == 3:
        return [entry]
    return [np.ascontiguousarray(entry[:, :, channel]) for channel in range(2)]


@dataclass(frozen=True)
class _Directory:
    """The zip's central directory as an array: our member names all have one length.

    Python's zipfile builds an object for every member on opening, which takes longer than decoding
    a snippet.
    """

    channels: int
    num_entries: int
    records: npt.NDArray[np.void]


def _read_directory(path: Path, descriptor: int) -> _Directory:
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _END_RECORD.size, max(0, size - _END_RECORD.size))
    if len(tail) < _END_RECORD.size or tail[:4] != b"PK\x05\x06":
        raise ArchiveError(
            path, f"{size} bytes that do not end like a zip: truncated or no archive"
        )
    _, _, _, _, num_members, length, offset, _ = _END_RECORD.unpack(tail)
    if offset + length + _END_RECORD.size != size:
        raise ArchiveError(path, f"{size} bytes, its directory says {offset + length + len(tail)}")
    data = os.pread(descriptor, length, offset)
    for channels, names in MEMBERS.items():
        record = _record_type(len(names[0].format(1)))
        if length and length == num_members * record.itemsize and num_members % len(names) == 0:
            directory = _Directory(
                channels, num_members // len(names), np.frombuffer(data, dtype=record)
            )
            if _is_numbered(directory):
                return directory
    raise ArchiveError(path, f"{num_members} members, not numbered img or flow_x and flow_y JPEGs")


def _record_type(name_length: int) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": ["crc", "size", "offset", "name"],
            "formats": ["<u4", "<u4", "<u4", f"S{name_length}"],
            "offsets": [16, 20, 42, _CENTRAL_HEADER_BYTES],
            "itemsize": _CENTRAL_HEADER_BYTES + name_length,
        }
    )


def _is_numbered(directory: _Directory) -> bool:
    """Return whether the first and last member of each kind are where their number puts them."""
    count = directory.num_entries
    return all(
        directory.records["name"][plane * count + index] == name.format(index + 1).encode()
        for plane, name in enumerate(MEMBERS[directory.channels])
        for index in (0, count - 1)
    )
