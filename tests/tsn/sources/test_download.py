"""Downloads from a real server on this machine that misbehaves on request."""

import errno
import hashlib
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import tsn.sources.download
from stages.runtime.environment import SOCKS  # which names the variable for itself
from tsn.sources.download import FetchError, fetch

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
            getattr(self, self.path.rpartition("/")[2])(int(wanted[6:-1]) if wanted else 0)

        def ranges(self, start: int, length: int | None = None) -> None:
            if start >= len(CONTENT):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/*")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:][:length])

        def no_ranges(self, start: int) -> None:
            self.ranges(0)

        def drops(self, start: int) -> None:
            self.ranges(start, DROP_AFTER if start == 0 else None)

        def drops_at_the_same_place(self, start: int) -> None:
            self.ranges(start, max(0, DROP_AFTER - start))

        def drops_always(self, start: int) -> None:
            self.ranges(start, DROP_AFTER)

        def drops_without_ranges(self, start: int) -> None:
            self.ranges(0, DROP_AFTER * (2 + len(server.requests) % 2))

        def changes(self, start: int) -> None:
            """Another file at the second request."""
            content = CONTENT if len(server.requests) == 1 else CONTENT[::-1]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/*")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: DROP_AFTER if len(server.requests) == 1 else None])

        def other_range(self, start: int) -> None:
            if not start:
                self.ranges(0, DROP_AFTER)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/*")
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def promises_less(self, start: int) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT) - 7))
            self.end_headers()
            self.wfile.write(CONTENT)

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
    monkeypatch.setattr(tsn.sources.download.time, "sleep", lambda _: None)
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


def download(
    server: Server, target: Path, *paths: str, sha256: str | None = SHA256, **options: Any
) -> Path:
    return fetch([f"{server.url}/{path}" for path in paths], target, sha256=sha256, **options)


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


def test_a_host_is_asked_as_long_as_it_gives_more(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "drops_always", attempts=1)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.requests) == 11


def test_later_call_goes_on_after_the_attempts_ran_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the connection ended after 0 of"):
        download(server, tmp_path / "file", "drops_at_the_same_place")
    assert len(server.requests) == 4
    assert not (tmp_path / "file").exists()
    have = (tmp_path / "file.part").stat().st_size
    assert have == DROP_AFTER
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


def test_without_a_checksum_a_page_is_still_no_file(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "page", "ranges", sha256=None)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("sha256", "requests"),
    [
        (None, [None, None]),
        (hashlib.sha256(CONTENT[::-1]).hexdigest(), [None, f"bytes={DROP_AFTER}-", None]),
    ],
)
def test_a_file_that_changes_between_two_attempts_is_fetched_anew(
    server: Server, tmp_path: Path, sha256: str | None, requests: list[str | None]
) -> None:
    download(server, tmp_path / "file", "changes", sha256=sha256)
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]
    assert [wanted for _, wanted in server.requests] == requests
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_file_of_another_checksum_is_fetched_anew_only_once(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    with pytest.raises(FetchError, match="expected SHA-256 0"):
        download(server, tmp_path / "file", "ranges", sha256="0" * 64)
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


def test_without_a_checksum_no_mirror_continues_another(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    download(server, target, "drops_at_the_same_place", "ranges", sha256=None)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1] == ("/ranges", None)


def test_with_a_checksum_any_mirror_continues_another(server: Server, tmp_path: Path) -> None:
    download(server, tmp_path / "file", "drops_at_the_same_place", "ranges")
    assert server.requests[-1] == ("/ranges", f"bytes={DROP_AFTER}-")


@pytest.mark.parametrize("path", ["other_range", "page", "missing", "promises_less"])
def test_an_answer_that_is_not_the_file_costs_nothing_of_what_came(
    server: Server, tmp_path: Path, path: str
) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    with pytest.raises(FetchError):
        download(server, tmp_path / "file", path, size=len(CONTENT))
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]


def test_a_host_without_ranges_that_drops_is_not_asked_for_ever(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="the connection ended"):
        download(server, tmp_path / "file", "drops_without_ranges")
    assert len(server.requests) < 12


@pytest.mark.parametrize(("path", "told"), [("ranges", "has 1024000"), ("promises_less", "has 10")])
def test_a_file_of_another_size_is_not_even_downloaded(
    server: Server, tmp_path: Path, path: str, told: str
) -> None:
    with pytest.raises(FetchError, match=rf"{told}\d* bytes, expected 77"):
        download(server, tmp_path / "file", path, size=77)
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_promises_less_than_the_file_has_is_found_out(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="expected SHA-256"):
        download(server, tmp_path / "file", "promises_less")


def test_more_than_fits_on_the_disk_is_not_begun(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": len(CONTENT) - 1})
    monkeypatch.setattr("tsn.sources.download.shutil.disk_usage", lambda path: usage)
    with pytest.raises(FetchError, match=r"takes another 0\.0 GB, 0\.0 GB are free"):
        download(server, tmp_path / "file", "ranges")


def test_a_full_disk_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    report = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(FetchError, match=r"the disk is full; .* the next call continues"):
        download(server, tmp_path / "file", "ranges", report=report)
    assert len(server.requests) == 1
    download(server, tmp_path / "file", "ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_progress_is_reported_from_where_it_goes_on(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    reports: list[tuple[int, int]] = []
    download(
        server,
        tmp_path / "file",
        "ranges",
        report=lambda name, have, total: reports.append((have, total)),
    )
    assert reports[-1] == (len(CONTENT), len(CONTENT)) and reports[0][0] > 1000


def test_a_broken_certificate_is_borne_where_the_checksum_decides(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    urlopen = tsn.sources.download.urllib.request.urlopen

    def strict(*arguments: Any, context: Any = None, **options: Any) -> Any:
        if context is None:
            raise urllib.error.URLError(ssl.SSLCertVerificationError("no issuer certificate"))
        return urlopen(*arguments, **options)

    monkeypatch.setattr(tsn.sources.download.urllib.request, "urlopen", strict)
    with pytest.raises(FetchError, match="no issuer certificate"):
        download(server, tmp_path / "file", "ranges", sha256=SHA256[:8])
    download(server, tmp_path / "file", "ranges")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert "checked by SHA-256 alone" in caplog.text


def test_failure_says_what_every_mirror_answered(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as refusal:
        download(server, tmp_path / "file", "missing", "page")
    text = str(refusal.value)
    assert re.search(r"/missing: HTTP Error 404", text)
    assert re.search(r"/page: answered with a web page", text)
    assert str(tmp_path / "file") in text
    assert text.endswith("put the file there by hand")


def test_no_url_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no URL is given"):
        fetch([], tmp_path / "file", sha256=SHA256)


def test_a_download_goes_through_the_proxy(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)  # which remembers the proxies
    monkeypatch.setenv("http_proxy", server.url)
    url = "http://nowhere.invalid/ranges"
    assert fetch([url], tmp_path / "file", sha256=SHA256).read_bytes() == CONTENT
    assert server.requests == [(url, None)]


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", SOCKS])
def test_a_socks_proxy_is_not_gone_past(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv(name, "socks5h://me:secret@proxy:1080")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(FetchError, match=r"the proxy proxy:1080 is one for SOCKS.* in HTTPS_PROXY"):
        fetch(["http://nowhere.invalid/ranges"], tmp_path / "file", sha256=SHA256)
    fetch([f"{server.url}/ranges"], tmp_path / "file", sha256=SHA256)
