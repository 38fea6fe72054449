"""Downloads from a real server on this machine that misbehaves on request."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import tsn.fetch
from tsn.fetch import FetchError, fetch

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
DROP_AFTER = 100_000


@dataclass
class Server:
    """Its address, and (path, Range header) of every request it got."""

    url: str
    requests: list[tuple[str, str | None]] = field(default_factory=list)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.requests.append((self.path, wanted))
            getattr(self, self.path.strip("/"))(int(wanted[6:-1]) if wanted else 0)

        def ranges(self, start: int, length: int | None = None) -> None:
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:][:length])

        def no_ranges(self, start: int) -> None:
            self.ranges(0)

        def drops(self, start: int) -> None:
            self.ranges(start, DROP_AFTER if start == 0 else None)

        def drops_always(self, start: int) -> None:
            self.ranges(start, DROP_AFTER)

        def drops_a_chunk(self, start: int) -> None:
            self.protocol_version = "HTTP/1.1"
            if len(server.requests) > 1:
                self.ranges(start)
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(CONTENT) + CONTENT[:DROP_AFTER])
            self.close_connection = True

        def missing(self, start: int) -> None:
            self.send_error(404)

        def busy_once(self, start: int) -> None:
            if len(server.requests) == 1:
                self.send_error(503)
            else:
                self.ranges(start)

        def page(self, start: int) -> None:
            body = b"<html>the file has moved</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(tsn.fetch.time, "sleep", lambda _: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Server("")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def download(server: Server, target: Path, *paths: str, sha256: str = SHA256) -> Path:
    return fetch([f"{server.url}/{path}" for path in paths], target, sha256=sha256)


def test_file_arrives_below_folders_that_were_not_there(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "a/b/file"
    assert download(server, target, "ranges") == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_file_that_is_there_is_not_asked_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    download(server, tmp_path / "file", "ranges")
    assert server.requests == []


def test_file_of_another_checksum_is_refused_and_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"older")
    with pytest.raises(FetchError, match=r"its SHA-256 is [0-9a-f]{64}, expected .* Remove"):
        download(server, tmp_path / "file", "ranges")
    assert (tmp_path / "file").read_bytes() == b"older"
    assert server.requests == []


def test_dropped_connection_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "drops")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == [("/drops", None), ("/drops", f"bytes={DROP_AFTER}-")]


def test_dropped_chunk_is_a_dropped_connection(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "drops_a_chunk")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_later_call_goes_on_after_the_attempts_ran_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the connection ended after 100000 of"):
        download(server, tmp_path / "file", "drops_always")
    assert not (tmp_path / "file").exists()
    have = (tmp_path / "file.part").stat().st_size
    assert have >= DROP_AFTER
    download(server, tmp_path / "file", "ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests[-1] == ("/ranges", f"bytes={have}-")


def test_complete_partial_file_is_only_renamed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(server, tmp_path / "file", "ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download(server, tmp_path / "file", "no_ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_partial_file_of_something_else_does_not_spoil_the_download(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file.part").write_bytes(b"of an older release")
    download(server, tmp_path / "file", "ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_next_mirror_is_asked_when_one_has_lost_the_file(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "missing", "ranges")
    assert [path for path, _ in server.requests] == ["/missing", "/ranges"]


def test_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "busy_once")
    assert [path for path, _ in server.requests] == ["/busy_once", "/busy_once"]


def test_error_page_with_status_200_is_no_file(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "page", "ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(FetchError, match=f"expected SHA-256 {wrong}, got {SHA256}"):
        download(server, tmp_path / "file", "ranges", sha256=wrong)
    assert list(tmp_path.iterdir()) == []


def test_without_a_checksum_anything_is_accepted(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "page", sha256="")
    assert b"moved" in (tmp_path / "file").read_bytes()


def test_failure_says_what_every_mirror_answered(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as refusal:
        download(server, tmp_path / "file", "missing", "page")
    text = str(refusal.value)
    assert re.search(r"/missing: HTTP Error 404", text)
    assert re.search(r"/page: expected SHA-256", text)
    assert str(tmp_path / "file") in text
    assert text.endswith("put the file there by hand")


def test_no_url_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no URL is given"):
        fetch([], tmp_path / "file", sha256=SHA256)
