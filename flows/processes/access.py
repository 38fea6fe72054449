"""The secret of a Prefect server: who asks its API without it is refused, as it runs commands.

That of `tsn server` lies in `.tsn/prefect/<port>`, which only its owner can read. It stays the
same, so that a browser has to be told once. A temporary server, which a flow starts where there is
none, has one of its own, which is written nowhere.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flows.processes.services import HOST
from stages.runtime.environment import LOOPBACK
from stages.runtime.places import PREFECT
from stages.tracking.store import checkout_of

ASKED_WITH, ASKED_FOR = "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"
ORIGINS = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"  # whose pages may ask it


def open_server(root: Path, port: int) -> Path:
    """Set the environment of the server on that port, and of who asks it; return the secret's file.

    Before Prefect is imported.
    """
    path = root / PREFECT / str(port)
    secret = _read(path) or _write(path)
    own = ",".join(f"http://{name}:{port}" for name in (HOST, "localhost"))
    os.environ["PREFECT_API_URL"] = f"http://{HOST}:{port}/api"
    os.environ[ORIGINS] = own
    os.environ[ASKED_WITH] = os.environ[ASKED_FOR] = secret
    return path


def take_secret() -> None:
    """Have Prefect's clients in this process, and what it starts, know the secret of their server.

    That is the server of `PREFECT_API_URL`, if it is this checkout's `tsn server`, or a temporary
    one that is to be started. Whoever has set a secret, or an API key, knows better.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.auth_string is not None or settings.api.key is not None:
        return
    if settings.api.url is None:
        os.environ[ASKED_WITH] = os.environ[ASKED_FOR] = _new()
        os.environ[ORIGINS] = ""  # it has no pages
    elif secret := _secret_of(settings.api.url):
        os.environ[ASKED_WITH] = secret
    else:
        return
    refresh_global_settings_context()


def _secret_of(url: str) -> str | None:
    """Return the secret of the server there, if this checkout started it."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname in LOOPBACK and parts.port:
            return _read(checkout_of(Path.cwd()) / PREFECT / str(parts.port))
    return None


def _read(path: Path) -> str | None:
    """Return what a file of nobody else holds; None for another one."""
    with suppress(OSError), path.open(encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return file.read().strip() or None
    return None


def _write(path: Path) -> str:
    secret = _new()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")
    return secret


def _new() -> str:
    return f"tsn:{secrets.token_urlsafe(32)}"
