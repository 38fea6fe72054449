"""What a served recogniser counts and times, for Prometheus."""

import time
from collections.abc import Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from stages.runtime.own_origin import Application, Receive, Scope, Send

BUCKETS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 300)  # seconds
NOT_SENT = "499"  # the status of a request that nobody waited for, as nginx logs it


class ServerMetrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # its memory and CPU time
        self._requests = Counter(
            "tsn_requests", "Answered requests.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "tsn_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("path",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._videos = Counter(
            "tsn_videos", "Videos by outcome.", ("outcome",), registry=self._registry
        )
        self._running = Gauge(
            "tsn_requests_running", "Requests that are answered now.", registry=self._registry
        )
        self._waiting = Gauge(
            "tsn_requests_waiting", "Requests that wait for a core.", registry=self._registry
        )
        self.count_videos(0, 0)

    def count_request(self, path: str, status: str, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def count_videos(self, recognised: int, refused: int) -> None:
        """Count videos."""
        self._videos.labels("recognised").inc(recognised)
        self._videos.labels("refused").inc(refused)

    def set_places(self, taken: int, at_once: int) -> None:
        """Tell how many requests there are, of which `at_once` are answered and others wait."""
        self._running.set(min(taken, at_once))
        self._waiting.set(max(0, taken - at_once))

    def text(self) -> bytes:
        """Return all numbers in Prometheus's text format."""
        return generate_latest(self._registry)


class Measured:
    """An ASGI application whose requests to some paths are counted and timed."""

    def __init__(self, app: Application, metrics: ServerMetrics, paths: Collection[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the application."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        status, began = NOT_SENT, time.monotonic()

        async def noted(message: Scope) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.count_request(scope["path"], status, time.monotonic() - began)
