"""A server's front door: requests for this server by its own name, from its own pages only.

A page of another site can send requests to a server of this machine from the browser of whoever
looks at it (they name their page in `Origin`), and by a name of its own that it lets point here
(DNS rebinding: the name is in `Host`). Both are refused. Programs send no `Origin`.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from stages.runtime.environment import LOOPBACK

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class OwnOrigin:
    """An ASGI application that refuses what is meant for another server, or comes from its pages.

    names: what this server may be called, without a port.
    """

    def __init__(self, app: Application, names: Collection[str] = LOOPBACK) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the application, or refuse: HTTP by 403, a websocket by closing it."""
        refused = self._reason(scope) if scope["type"] in ("http", "websocket") else ""
        if not refused:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": f"{refused}\n".encode()})

    def _reason(self, scope: Scope) -> str:
        """Return why a request is refused, or nothing."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        host = _address(f"//{hosts[0].decode('latin-1')}") if len(hosts) == 1 else None
        if host is None or host[0] not in self._names:
            return f"the Host of this server is one of {', '.join(sorted(self._names))}"
        for origin in origins:
            page = _address(origin.decode("latin-1"))
            if page is None or page[0] not in self._names or page[1] != host[1]:
                return "a page of another site (its Origin says so) may not ask this server"
        return ""


def _address(url: str) -> tuple[str, int | None] | None:
    """Return the name and port of an http address, None for the usual port.

    None for what is no such address, as `null`.
    """
    try:
        parts = urlsplit(url)
        port = None if parts.port in (80, 443) else parts.port
    except ValueError:
        return None
    if parts.scheme not in ("", "http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.hostname.lower(), port
