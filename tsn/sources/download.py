"""Downloads that survive a bad line: several mirrors, resumed by range, checked by SHA-256.

What has come so far lies beside the target as `<name>.part`. It is continued, by any host, where a
SHA-256 decides in the end; if that is another then, the file is fetched anew.
"""

import errno
import http.client
import logging
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tsn.files import file_sha256

logger = logging.getLogger(__name__)
CHUNK = 1 << 20
TIMEOUT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 30.0
SHA256_DIGITS = 64
_PAGES = (b"<!doctype html", b"<html")

Report = Callable[[str, int, int], None]  # a file's name, its bytes so far and in all


def no_report(_name: str, _have: int, _total: int) -> None:
    """Tell nobody."""


class FetchError(OSError):
    """No mirror gave the file, or there is no room for it."""


class _WrongFileError(Exception):
    """What was downloaded is not the file."""


class _RefusedError(Exception):
    """An answer that is not the file; what came before is left as it is."""


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    sha256: str | None
    size: int | None
    report: Report

    @property
    def is_known(self) -> bool:
        """Return whether nothing but the file can pass for it."""
        return self.sha256 is not None and len(self.sha256) == SHA256_DIGITS


def refuse_other_file(path: Path, sha256: str | None) -> None:
    """Raise FetchError unless a file's SHA-256 begins like that one; FileNotFoundError without."""
    if sha256 and not (found := file_sha256(path)).startswith(sha256):
        raise FetchError(
            f"{path}: its SHA-256 is {found}, expected {sha256}. Remove the file to "
            "have it downloaded, or name its own SHA-256 if it is the one you want"
        )


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None,
    size: int | None = None,
    attempts: int = 3,
    report: Report = no_report,
    by_hand: str = "",
) -> Path:
    """Return `target`, downloaded from the first URL that gives it.

    `sha256` can be the beginning of one; `size` is in bytes. None of either accepts any.
    An interrupted download goes on where it ended, in this call or a later one. A host is asked
    again as long as it gives more, and `attempts` times when it does not, after longer and longer
    waits. A file of another SHA-256 or size is never put in place, and one that is there is not
    replaced. `report` gets the bytes so far and in all (0: unknown) as they come.

    FetchError says what every mirror answered and where to put the file by hand, and `by_hand`.
    """
    if target.is_file():
        refuse_other_file(target, sha256)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = _Wanted(sha256=sha256, size=size, report=report)
    partial = target.with_name(f"{target.name}.part")
    failures = []
    for url in urls:
        try:
            _complete(url, partial, wanted, attempts)
        except FetchError:
            raise
        except (OSError, http.client.HTTPException, _WrongFileError, _RefusedError) as error:
            failures.append(f"{url}: {error}")
            continue
        partial.replace(target)
        return target
    lines = "\n  ".join(failures) or "no URL is given"
    raise FetchError(
        f"{target}: could not be downloaded:\n  {lines}\nput the file there by hand{by_hand}"
    )


def _complete(url: str, partial: Path, wanted: _Wanted, attempts: int) -> None:
    """Download the rest of a file from one host, and check it; the host's last error otherwise."""
    failed, began_anew, most = 0, False, 0
    while True:
        had = _length(partial)
        most = max(most, had)
        try:
            _continue(url, partial, wanted)
            _check(partial, wanted)
            return
        except _WrongFileError:
            partial.unlink()
            if not had or began_anew:
                raise
            began_anew = True  # what was there may have been of another file
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise FetchError(
                    f"{partial.parent}: the disk is full; {_length(partial)} bytes of "
                    f"{partial.stem} stay there, the next call continues"
                ) from error
            if isinstance(error, FetchError) or _is_final(error):
                raise
            failed = 0 if _length(partial) > most else failed + 1
            if failed == attempts:
                raise
            logger.info("%s: %s; trying again", url, error)
            time.sleep(min(0.5 * 2**failed, LONGEST_WAIT_SECONDS))


def _continue(url: str, partial: Path, wanted: _Wanted) -> None:
    """Append what a host has beyond the partial file, or write it anew."""
    have = _length(partial)
    headers = {"Range": f"bytes={have}-"} if have and wanted.sha256 else {}
    try:
        response = _open(url, headers, wanted)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is left, or it was of another file: the check tells
        raise
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _RefusedError("answered with another range than was asked for")
        length = int(response.headers.get("Content-Length") or -1)
        have = have if resumed else 0
        total = have + length if length >= 0 else wanted.size or 0
        if wanted.size and total != wanted.size:
            raise _RefusedError(f"has {total} bytes, expected {wanted.size}")
        _refuse_full_disk(partial, total - _length(partial))
        chunk = response.read(CHUNK)
        if not resumed and chunk[:100].lstrip().lower().startswith(_PAGES):
            raise _RefusedError("answered with a web page instead of the file")
        received = 0
        with partial.open("ab" if resumed else "wb") as file:
            while chunk:
                file.write(chunk)
                received += len(chunk)
                wanted.report(partial.stem, have + received, total)
                chunk = response.read(CHUNK)
        if length >= 0 and received != length:
            raise OSError(f"the connection ended after {received} of {length} bytes")


def _open(url: str, headers: dict[str, str], wanted: _Wanted) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers=headers)
    _refuse_socks(request)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.URLError as error:
        # The host of UCF101 leaves out a certificate; what it sends is told by its SHA-256.
        if not (isinstance(error.reason, ssl.SSLCertVerificationError) and wanted.is_known):
            raise
        logger.warning("%s: %s; its file is checked by SHA-256 alone", url, error.reason)
        unverified = ssl._create_unverified_context()
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=unverified)
    assert isinstance(answer, http.client.HTTPResponse)
    return answer


def _refuse_socks(request: urllib.request.Request) -> None:
    """Raise _RefusedError rather than go past a SOCKS proxy, which urllib cannot go through.

    Whoever starts this may have set it apart, as others fail with one in the usual variables.
    """
    proxies = urllib.request.getproxies()
    proxy = proxies.get(request.type) or os.environ.get("TSN_SOCKS_PROXY") or proxies.get("all", "")
    local = request.type == "file" or urllib.request.proxy_bypass(request.host)
    if proxy.lower().startswith("socks") and not local:
        raise _RefusedError(
            f"the proxy {proxy.rpartition('@')[2]} is one for SOCKS, through which nothing "
            "can be downloaded; name one for HTTP in HTTPS_PROXY"
        )


def _check(partial: Path, wanted: _Wanted) -> None:
    size = _length(partial)
    if wanted.size and size != wanted.size:
        raise _WrongFileError(f"gave {size} bytes, expected {wanted.size}")
    if wanted.sha256 and not (digest := file_sha256(partial)).startswith(wanted.sha256):
        raise _WrongFileError(f"expected SHA-256 {wanted.sha256}, got {digest}")


def _is_final(error: Exception) -> bool:
    """Return whether asking the same host again is of no use."""
    return isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429


def _refuse_full_disk(partial: Path, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if needed > free:
        raise FetchError(
            f"{partial.parent}: {partial.stem} takes another {needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free"
        )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
