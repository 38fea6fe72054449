"""Datasets as they are distributed: fetched, unpacked, put in place, whatever happens meanwhile."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from archive_files import Member, rar4, rar5, zipped

from tsn.sources.distribution import ArchiveFile, ArchivesConfig, fetch_archives
from tsn.sources.download import FetchError

CLIPS = {
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi": b"first" * 5000,
    "brush_hair/Best! (1) [x];&'_brush_hair_0.avi": b"second" * 4000,
    "cartwheel/(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi": b"third" * 6000,
}
LISTS = {f"{name}_test_split1.txt": name.encode() for name in ("brush_hair", "cartwheel")}


def hmdb51() -> dict[str, bytes]:
    """A RAR of RARs, and a RAR of lists, as HMDB51 has them."""
    classes = sorted({clip.split("/")[0] for clip in CLIPS})
    inner = [
        Member(f"{n}.rar", rar4(Member(c, b) for c, b in CLIPS.items() if c.startswith(n)))
        for n in classes
    ]
    lists = [Member(f"testTrainMulti_7030_splits/{name}", text) for name, text in LISTS.items()]
    return {"videos.rar": rar4(inner), "lists.rar": rar4(lists)}


def ucf101() -> dict[str, bytes]:
    """A RAR with a folder around the classes, and a zip of lists, with a Mac's leavings."""
    clips = [Member(f"UCF-101/{clip}", content) for clip, content in CLIPS.items()]
    lists = [Member(f"ucfTrainTestlist/{name}", text) for name, text in LISTS.items()]
    junk = [Member("__MACOSX/ucfTrainTestlist/._x.txt", b""), Member("read.me", b"")]
    return {"videos.rar": rar5(clips), "lists.zip": zipped([*junk, *lists])}


class Handler(BaseHTTPRequestHandler):
    """Serves `files` with ranges, and slowly."""

    def __init__(self, files: dict[str, bytes], pause: float, *arguments: object) -> None:
        self.files, self.pause = files, pause
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        content = self.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        start = int(wanted[6:-1]) if wanted else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        for offset in range(start, len(content), 4096):
            self.wfile.write(content[offset : offset + 4096])
            time.sleep(self.pause)


def serve(files: dict[str, bytes], pause: float = 0.0) -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, files, pause))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def distribution(files: dict[str, bytes], url: str, folder: Path) -> ArchivesConfig:
    def named(part: str) -> tuple[ArchiveFile, ...]:
        return tuple(
            ArchiveFile(
                name=name,
                urls=(f"{url}/gone", f"{url}/{name}"),
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for name, content in files.items()
            if name.startswith(part)
        )

    return ArchivesConfig(folder=str(folder), videos=named("videos"), lists=named("lists"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fetched(config: ArchivesConfig, out: Path) -> list[str]:
    return list(fetch_archives(config, out / "videos", out / "lists"))


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("make", [hmdb51, ucf101])
def test_from_the_network_into_place(tmp_path: Path, make: object) -> None:
    files = {"hmdb51": hmdb51, "ucf101": ucf101}[make.__name__]()  # type: ignore[attr-defined]
    for url in serve(files):
        config = distribution(files, url, tmp_path / "inbox")
        assert fetched(config, tmp_path / "data") == sorted(CLIPS)
    assert contents(tmp_path / "data/videos") == CLIPS
    assert contents(tmp_path / "data/lists") == LISTS
    # Again, without the network, after DVC deleted its outputs.
    assert fetched(config, tmp_path / "again") == sorted(CLIPS)
    assert contents(tmp_path / "again/videos") == CLIPS


def test_an_archive_put_there_by_hand_is_taken(tmp_path: Path) -> None:
    files = hmdb51()
    (tmp_path / "inbox").mkdir()
    for name, content in files.items():
        (tmp_path / "inbox" / name).write_bytes(content)
    config = distribution(files, "http://127.0.0.1:9", tmp_path / "inbox")
    assert fetched(config, tmp_path / "data") == sorted(CLIPS)


def test_unpacked_folders_put_there_by_hand_are_taken(tmp_path: Path) -> None:
    config = distribution(hmdb51(), "http://127.0.0.1:9", tmp_path / "inbox")
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/videos.rar.part").write_bytes(b"of a download that did not succeed")
    for part, files in (("videos", {"a/1.mp4": b"own"}), ("lists", {"l.txt": b""})):
        for name, content in files.items():
            path = tmp_path / "inbox" / part / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
    assert fetched(config, tmp_path / "data") == ["a/1.mp4"]


@pytest.mark.usefixtures("no_proxy")
def test_when_no_mirror_has_it_the_error_says_where_to_put_it(tmp_path: Path) -> None:
    for url in serve({}):
        config = distribution(hmdb51(), url, tmp_path / "inbox")
        with pytest.raises(FetchError) as refusal:
            fetched(config, tmp_path / "data")
    text = str(refusal.value)
    assert f"{tmp_path}/inbox/lists.rar: could not be downloaded" in text
    assert f"{url}/gone: HTTP Error 404" in text and f"{url}/lists.rar: HTTP Error 404" in text
    assert text.endswith(f"or what it holds into {tmp_path}/inbox/lists")
    assert not (tmp_path / "data").exists()


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    files = {"videos.zip": zipped([Member("read.me", b"")]), "lists.rar": hmdb51()["lists.rar"]}
    (tmp_path / "inbox").mkdir()
    for name, content in files.items():
        (tmp_path / "inbox" / name).write_bytes(content)
    with pytest.raises(FetchError, match=r"videos\.zip: holds no videos"):
        fetched(distribution(files, "", tmp_path / "inbox"), tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "../x"}, "without a folder"),
        ({"size": -1}, "expected bytes"),
        ({"sha256": "XYZ"}, "hexadecimal"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], reason: str) -> None:
    good: dict[str, object] = {"name": "x.rar", "urls": (), "size": None, "sha256": None}
    ArchiveFile(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=reason):
        ArchiveFile(**good | change)  # type: ignore[arg-type]


FETCHING = """
import json, sys
from pathlib import Path
from tsn.sources import download as fetch
from tsn.sources.distribution import ArchivesConfig, fetch_archives
from tsn.records import record

fetch.CHUNK = 4096
config = record(json.loads(sys.argv[1]), ArchivesConfig, "source")
out = Path(sys.argv[2])
print(len(list(fetch_archives(config, out / "videos", out / "lists"))))
"""


def killed_when(due: Callable[[], bool], command: Sequence[str]) -> bool:
    """Whether the command was killed, as soon as something is due, before it ended by itself."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and not due():
        time.sleep(0.001)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.usefixtures("no_proxy")
def test_killed_at_any_point_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    files = hmdb51()
    inbox, data = tmp_path / "inbox", tmp_path / "data"

    def has(num_bytes: int) -> bool:
        return sum(path.stat().st_size for path in inbox.glob("videos.rar*")) >= num_bytes

    points: list[Callable[[], bool]] = [
        lambda: (inbox / "lists.rar.part").exists(),
        lambda: (inbox / "lists").exists(),
        *(partial(has, share * len(files["videos.rar"]) // 10) for share in (1, 3, 5, 9)),
        lambda: (inbox / "videos").exists(),
        lambda: any((inbox / "videos").glob("brush_hair/*.avi")),
        lambda: (data / "videos").exists(),
    ]
    for url in serve(files, pause=0.02):
        config = distribution(files, url, inbox)
        plain: dict[str, object] = {"folder": config.folder}
        for part in ("videos", "lists"):
            plain[part] = [vars(f) | {"urls": list(f.urls)} for f in getattr(config, part)]
        command = [sys.executable, "-c", FETCHING, json.dumps(plain), str(data)]
        kills = [killed_when(due, command) for due in points]
        (data / "videos/brush_hair").mkdir(parents=True, exist_ok=True)
        (data / "videos/brush_hair/.0123.tmp").touch()  # as a kill leaves it, if it meets a copy
        done = subprocess.run(command, capture_output=True, text=True)
    assert sum(kills[2:6]) == 4  # the download is slow enough to be met
    assert (done.returncode, done.stdout.strip()) == (0, str(len(CLIPS))), done.stderr
    assert contents(data / "videos") == CLIPS
    assert contents(data / "lists") == LISTS
    assert set(contents(inbox / "videos")) == set(CLIPS)
    names = sorted(path.name for path in inbox.iterdir())
    assert names == [".lock", "lists", "lists.rar", "videos", "videos.rar"]
