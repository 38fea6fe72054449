"""Archives to unpack: ZIP, and RAR 4 and RAR 5 as no free program writes them.

Only stored members of RAR, after the published notes on both formats.
"""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

FILE, LINK = 0o100644, 0o120777
RAR4_MARK, RAR5_MARK = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"


@dataclass(frozen=True)
class Member:
    """A file, or a symbolic link whose content is its target. `size` and `crc` can lie."""

    name: str
    content: bytes
    mode: int = FILE
    size: int | None = None
    crc: int | None = None
    encrypted: bool = False
    packed: bool = False  # says that it is compressed, in a way that no program knows

    @property
    def told_size(self) -> int:
        return len(self.content) if self.size is None else self.size

    @property
    def told_crc(self) -> int:
        return zlib.crc32(self.content) if self.crc is None else self.crc


def zipped(members: Iterable[Member]) -> bytes:
    """The bytes of a ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names given twice
        for member in members:
            info = zipfile.ZipInfo(member.name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = member.mode << 16
            archive.writestr(info, member.content)
    return file.getvalue()


def rar4(members: Iterable[Member]) -> bytes:
    """The bytes of a RAR 4 archive."""
    blocks = [RAR4_MARK, _block4(0x73, 0, bytes(6))]
    for member in members:
        name = member.name.encode()
        fields = struct.pack(
            "<LLBLLBBHL",
            len(member.content),
            member.told_size,
            3,  # unix
            member.told_crc,
            0x5A210000,  # a time
            20,
            0x33 if member.packed else 0x30,  # stored
            len(name),
            member.mode,
        )
        flags = 0x8000 | (0x04 if member.encrypted else 0)
        blocks += [_block4(0x74, flags, fields + name), member.content]
    return b"".join([*blocks, _block4(0x7B, 0x4000, b"")])


def rar5(members: Iterable[Member]) -> bytes:
    """The bytes of a RAR 5 archive."""
    blocks = [RAR5_MARK, _block5(_vint(1) + _vint(0) + _vint(0))]
    for member in members:
        is_link = member.mode == LINK
        data = b"" if is_link else member.content
        name = member.name.encode()
        extra = b""
        if is_link:
            target = _vint(5) + _vint(1) + _vint(0) + _vint(len(member.content)) + member.content
            extra = _vint(len(target)) + target
        if member.encrypted:
            record = _vint(1) + _vint(0) + _vint(0) + bytes([15]) + bytes(32)
            extra += _vint(len(record)) + record
        fields = b"".join(
            [
                _vint(0x04),  # a CRC follows
                _vint(0 if is_link else member.told_size),
                _vint(member.mode),
                struct.pack("<L", zlib.crc32(b"") if is_link else member.told_crc),
                _vint(3 << 7 if member.packed else 0),  # stored
                _vint(1),  # unix
                _vint(len(name)),
                name,
            ]
        )
        head = _vint(2) + _vint(2 | (1 if extra else 0))
        head += (_vint(len(extra)) if extra else b"") + _vint(len(data))
        blocks += [_block5(head + fields + extra), data]
    return b"".join([*blocks, _block5(_vint(5) + _vint(0) + _vint(0))])


def _block4(kind: int, flags: int, fields: bytes) -> bytes:
    head = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head


def _block5(fields: bytes) -> bytes:
    head = _vint(len(fields)) + fields
    return struct.pack("<L", zlib.crc32(head)) + head


def _vint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
