"""Archives of every kind the datasets come in, and the hostile ones they could be."""

import errno
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pytest
from archive_files import LINK, Member, rar4, rar5, zipped

import tsn.sources.unpack
from tsn.sources.unpack import UnpackError, unpack

NAME = "c/Best! (1) [x];&'_é.avi"
CONTENT = bytes(range(256)) * 40


Make = Callable[[Iterable[Member]], bytes]
KINDS: dict[str, Make] = {"zip": zipped, "rar4": rar4, "rar5": rar5}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    return KINDS[request.param]


def everything(path: PurePosixPath) -> str | None:
    return None if path.suffix in (".rar", ".zip") else str(path)


def unpacked(root: Path, content: bytes) -> dict[str, bytes]:
    archive, folder = root / "archive", root / "out"
    archive.write_bytes(content)
    paths = list(unpack(archive, folder, everything))
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_files_come_out_under_their_odd_names(tmp_path: Path, make: Make) -> None:
    members = [Member(NAME, CONTENT), Member("c/empty", b"")]
    assert unpacked(tmp_path, make(members)) == {NAME: CONTENT, "c/empty": b""}


def test_a_place_is_chosen_or_refused_for_every_member(tmp_path: Path, make: Make) -> None:
    (tmp_path / "a").write_bytes(make([Member("top/c/x.avi", b"x"), Member("top/notes", b"n")]))

    def place(path: PurePosixPath) -> str | None:
        return "/".join(path.parts[-2:]) if path.suffix == ".avi" else None

    assert list(unpack(tmp_path / "a", tmp_path / "out", place)) == [tmp_path / "out/c/x.avi"]


def test_archives_within_an_archive_are_unpacked_in_turn(tmp_path: Path, make: Make) -> None:
    inner = [Member(f"{name}.rar", rar4([Member(f"{name}/1.avi", CONTENT)])) for name in "ab"]
    assert unpacked(tmp_path, make(inner)) == {"a/1.avi": CONTENT, "b/1.avi": CONTENT}


def test_what_is_there_stays_and_what_is_not_whole_is_written_again(
    tmp_path: Path, make: Make
) -> None:
    content = make([Member(f"{i}.avi", CONTENT) for i in range(3)])
    unpacked(tmp_path, content)
    kept, short, other = (tmp_path / f"out/{i}.avi" for i in range(3))
    inode = kept.stat().st_ino
    short.write_bytes(CONTENT[:-1])
    other.write_bytes(bytes(len(CONTENT)))
    assert unpacked(tmp_path, content) == {f"{i}.avi": CONTENT for i in range(3)}
    assert kept.stat().st_ino == inode


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([Member("../evil", b"x")], "'../evil' leads out"),
        ([Member("a/../../evil", b"x")], "leads out"),
        ([Member("/etc/evil", b"x")], "leads out"),
        ([Member("..\\evil", b"x")], "leads out"),
        ([Member("C:evil", b"x")], "leads out"),
        ([Member("good", b"x"), Member("link", b"/etc/passwd", mode=LINK)], "link is a link"),
        ([Member("good", b"x"), Member("good", b"y")], "good and good are one good"),
        ([Member("a", b"x"), Member("a/b/c", b"y")], "a/b/c and a need a file and a folder .*: a$"),
        ([Member("a/b/c", b"y"), Member("a", b"x")], "a and a/b/c need a file and a folder .*: a$"),
        ([Member("a/b/c", b"y"), Member("a/b", b"x")], "need a file and a folder of one name: a/b"),
    ],
)
def test_hostile_members_are_refused_before_anything_is_written(
    tmp_path: Path, make: Make, members: list[Member], reason: str
) -> None:
    with pytest.raises(UnpackError, match=reason):
        unpacked(tmp_path, make(members))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["archive"]


def test_a_member_named_absolutely_never_leaves_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    with pytest.raises(UnpackError, match="leads out"):
        unpacked(tmp_path, rar5([Member(str(outside), b"x")]))
    assert not outside.exists()


@pytest.mark.parametrize("make", [rar4, rar5])
def test_encrypted_members_are_refused(tmp_path: Path, make: Make) -> None:
    with pytest.raises(UnpackError, match="secret is encrypted"):
        unpacked(tmp_path, make([Member("secret", b"x", encrypted=True)]))


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsn.sources.unpack, "_ALWAYS_ALLOWED", 1000)
    with pytest.raises(UnpackError, match="would unpack to 1000000"):
        unpacked(tmp_path, zipped([Member("zeros", bytes(10**6))]))
    with pytest.raises(UnpackError, match="would unpack to 1000000000000"):
        unpacked(tmp_path, rar5([Member("liar", b"x", size=10**12)]))


def test_archives_within_one_share_what_it_may_unpack_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alone is allowed."""
    monkeypatch.setattr(tsn.sources.unpack, "_ALWAYS_ALLOWED", 10**6)
    inner = [Member(f"{n}.zip", zipped([Member(f"{n}.avi", bytes(400_000))])) for n in range(9)]
    with pytest.raises(UnpackError, match=r"archive: \d+ bytes that would unpack to 12\d{5}: no"):
        unpacked(tmp_path, zipped([Member("all.zip", zipped(inner))]))
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.*")) < 10**6


def test_archives_within_one_share_its_number_of_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsn.sources.unpack, "_MAX_MEMBERS", 10)
    inner = [
        Member(f"{n}.zip", zipped([Member(f"{n}{k}.avi", b"x") for k in "abc"])) for n in range(3)
    ]
    with pytest.raises(UnpackError, match="12 members, at most 10"):
        unpacked(tmp_path, zipped(inner))


def test_matryoshkas_are_refused(tmp_path: Path) -> None:
    content = zipped([Member("x.avi", b"x")])
    for depth in range(4):
        content = zipped([Member(f"{depth}.zip", content)])
    with pytest.raises(UnpackError, match="archives within archives"):
        unpacked(tmp_path, content)


def test_more_than_fits_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": len(CONTENT) - 1})
    monkeypatch.setattr("tsn.sources.unpack.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UnpackError, match="GB free"):
        unpacked(tmp_path, zipped([Member("x.avi", CONTENT)]))


@pytest.mark.parametrize("make", [rar4, rar5])
@pytest.mark.parametrize("lie", [{"crc": 5}, {"size": len(CONTENT) + 1}])
def test_damaged_members_do_not_get_their_name(
    tmp_path: Path, make: Make, lie: dict[str, int]
) -> None:
    with pytest.raises(UnpackError, match=r"damaged: b\.avi"):
        unpacked(tmp_path, make([Member("a.avi", b"fine"), Member("b.avi", CONTENT, **lie)]))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.avi"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_archives_are_refused(tmp_path: Path, kind: str, keep: float) -> None:
    content = KINDS[kind]([Member(f"{i}.avi", CONTENT) for i in range(3)])
    with pytest.raises(UnpackError, match=r"archive: (damaged|neither)"):
        unpacked(tmp_path, content[: int(keep * len(content))])
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_page_instead_of_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnpackError, match="neither a zip nor a RAR archive"):
        unpacked(tmp_path, b"<html>not found</html>")


@pytest.mark.parametrize("make", [rar4, rar5])
@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("bsdtar", "compressed, and none of unrar, unar or 7z is installed; .*apt install unar"),
        ("7z", "damaged: a.avi: .*; or 7z cannot decompress it: try another of unrar, unar"),
    ],
)
def test_compressed_members_without_a_program_for_them_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, program: str, told: str
) -> None:
    path = tmp_path / "bin" / program
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho cannot\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    monkeypatch.setattr(tsn.sources.unpack.rarfile, "CURRENT_SETUP", None)
    assert unpacked(tmp_path, make([Member("stored", b"x")])) == {"stored": b"x"}
    with pytest.raises(UnpackError, match=told):
        unpacked(tmp_path, make([Member("a.avi", CONTENT, packed=True)]))


def test_folders_are_no_files(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("c/")
        info.external_attr = (stat.S_IFDIR | 0o755) << 16
        archive.writestr(info, b"")
        archive.writestr("c/x.avi", b"x")
    assert unpacked(tmp_path, file.getvalue()) == {"c/x.avi": b"x"}


@pytest.mark.parametrize("make", [rar4, rar5])
def test_a_rar_that_ends_with_a_zip_is_no_zip(tmp_path: Path, make: Make) -> None:
    members = [Member("a/1.avi", b"one"), Member("b.zip", zipped([Member("a/2.avi", b"two")]))]
    assert unpacked(tmp_path, make(members)) == {"a/1.avi": b"one", "a/2.avi": b"two"}


def test_two_inner_archives_do_not_overwrite_each_other(tmp_path: Path) -> None:
    inner = [Member(f"{n}.rar", rar4([Member("a/1.avi", n.encode())])) for n in ("one", "two")]
    with pytest.raises(UnpackError, match=r"two\.rar: a/1\.avi and a/1\.avi are one a/1\.avi"):
        unpacked(tmp_path, zipped(inner))
    assert (tmp_path / "out/a/1.avi").read_bytes() == b"one"


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnpackError, match="leads out"):
        unpacked(tmp_path, rar5([Member(".", b"x")]))


def test_a_member_whose_name_no_file_can_have_is_left_out(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    members = [Member(name, b"x") for name in (f"c/{'x' * 252}", "c/a\nb", f"{'y' * 252}/1")]
    assert unpacked(tmp_path, make([Member("c/good", b"good"), *members])) == {"c/good": b"good"}
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3 and r"left out c/a\nb: its name has a control character" in told[1]


@pytest.mark.parametrize(
    ("method", "place", "byte"),
    [
        (zipfile.ZIP_BZIP2, len("a.avi") + 30, 0),
        (zipfile.ZIP_LZMA, len("a.avi") + 34, 255),
        (zipfile.ZIP_STORED, -22 - 51 + 6, 255),  # the version that is needed
        (zipfile.ZIP_STORED, -22 + 12, 200),  # the size of the list of members
        (zipfile.ZIP_STORED, -22 + 16, 255),  # where that list is
    ],
)
def test_damage_of_every_kind_is_the_archives(
    tmp_path: Path, method: int, place: int, byte: int
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.avi", CONTENT[:300])
    content = bytearray(file.getvalue())
    content[place] = byte
    with pytest.raises(UnpackError, match="archive: damaged"):
        unpacked(tmp_path, bytes(content))


def test_a_member_of_a_zip_without_a_name_is_refused(tmp_path: Path) -> None:
    content = zipped([Member("\0x", b"x")])
    with pytest.raises(UnpackError, match="leads out"):
        unpacked(tmp_path, content)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_disk_that_fails_is_no_damage_of_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        unpacked(tmp_path, zipped([Member("a.avi", CONTENT)]))


def test_members_are_counted_before_they_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    monkeypatch.setattr(tsn.sources.unpack, "_MAX_MEMBERS", 1)
    with pytest.raises(UnpackError, match="2 members, at most 1"):
        unpacked(tmp_path, make([Member("a", b"x"), Member("link", b"a", mode=LINK)]))
