"""Downloads that survive a bad line: several mirrors, resumed by range, checked by SHA-256."""

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)
CHUNK = 1 << 20
TIMEOUT_SECONDS = 30.0


class FetchError(OSError):
    """No mirror gave the file."""


def fetch(urls: Sequence[str], target: Path, *, sha256: str, attempts: int = 3) -> Path:
    """The file at `target`, downloaded from the first URL that gives it.

    What an interrupted download left beside the target is continued. A file of another SHA-256
    ("" accepts any) is never put in place, and one that is there is not replaced. FetchError says
    what every mirror answered and where to put the file by hand.
    """
    if target.is_file():
        if _matches(target, sha256):
            return target
        raise FetchError(
            f"{target}: its SHA-256 is {_digest(target)}, expected {sha256}. Remove the file to "
            "have it downloaded, or name its own SHA-256 if it is the one you want"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    failures = []
    for url in urls:
        for attempt in range(attempts):
            try:
                continued = partial.exists()
                _continue(url, partial)
                if _matches(partial, sha256):
                    partial.replace(target)
                    return target
                found = _digest(partial)
                partial.unlink()
                failures.append(f"{url}: expected SHA-256 {sha256}, got {found}")
                if not continued:  # else: what was continued may have been of another file
                    break
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error}")
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    break
                time.sleep(0.5 * 2**attempt)
    lines = "\n  ".join(dict.fromkeys(failures)) or "no URL is given"
    raise FetchError(f"{target}: could not be downloaded:\n  {lines}\nput the file there by hand")


def _continue(url: str, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left, or the file on the server changed
            return
        raise
    with response:
        resumed = response.status == 206
        with partial.open("ab" if resumed else "wb") as file:
            expected = int(response.headers.get("Content-Length") or -1)
            received = 0
            while chunk := response.read(CHUNK):
                file.write(chunk)
                received += len(chunk)
        if expected >= 0 and received != expected:
            raise OSError(f"the connection ended after {received} of {expected} bytes")
    logger.info("fetched %s: %d bytes%s", url, received, " (resumed)" if resumed else "")


def _matches(path: Path, sha256: str) -> bool:
    return _digest(path).startswith(sha256)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
