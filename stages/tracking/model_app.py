"""The web application around a served recogniser: what it answers, and what it refuses.

    /             a page that recognises a video file which is put there
    /recognise    takes a video file from a form, as the page sends it
    /invocations  takes what MLflow's scoring server takes, and answers as that does
    /model        what is served                 /metrics       for Prometheus
    /openapi.json describes all of this          /ping, /health, /version  are MLflow's own

A refusal is JSON with `error_code` and `message`, and names no path of the server:

    400  not what can be read here              403  of another site's page, or by another name
    408  a body that comes too slowly           413  a body of too many bytes
    415  of another content type                422  no row, or the file, can be answered
    500  the server failed: its log says why    503  the queue is full, or the server stops
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from mlflow.pyfunc import PyFuncModel, scoring_server
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from stages.runtime.environment import LOOPBACK
from stages.runtime.own_origin import Application, OwnOrigin, Receive, Scope, Send
from stages.tracking.asked_model import AskedModel, Stop, refusal
from stages.tracking.model_metrics import Measured, ServerMetrics
from stages.tracking.model_page import INVOCATIONS, RECOGNISE, Model, page
from stages.tracking.model_server import RequestLimits

ANSWERING = ("/invocations", "/recognise")  # the paths that take videos
MEGABYTE = 1_000_000
BODY_SECONDS = 60.0  # for a request to come in: it has a place meanwhile
SECONDS_TO_DISCARD = 10.0  # what a refused client still sends
GONE, STOPPING = "whoever asked has gone", "the server is stopping"


class ModelServer:
    """A recogniser behind its application, `app`, until `stop` is called.

    more_names: what the server may be called, beside the names of this machine for itself.
    """

    def __init__(
        self, model: PyFuncModel, limits: RequestLimits, more_names: Collection[str] = ()
    ) -> None:
        self._metrics = ServerMetrics()
        self._model = AskedModel(model, self._metrics.count_videos)
        known = model.metadata.metadata or {}
        self._about = Model(
            classes=known.get("classes", []),
            fingerprint=known.get("fingerprint", ""),
            megabytes=limits.megabytes,
        )
        self._at_once = min(_count_cores(), 32)  # and no more than asyncio has threads
        self._most = self._at_once + limits.queue
        self._taken = 0
        self._working = asyncio.Semaphore(self._at_once)
        self._stopping = threading.Event()
        self.app = FastAPI(title="A recogniser", docs_url=None, redoc_url=None)
        self.app.add_exception_handler(HTTPException, _refuse)
        self.app.add_middleware(BodyLimit, most=int(limits.megabytes * MEGABYTE))
        self.app.add_middleware(OwnOrigin, names=(*LOOPBACK, *more_names))
        self.app.add_middleware(Measured, metrics=self._metrics, paths=ANSWERING)
        self.app.post("/invocations", **INVOCATIONS)(self.invocations)
        self.app.post("/recognise", **RECOGNISE)(self.recognise)
        self.app.get("/", include_in_schema=False)(page)
        self.app.get("/model")(self.about)
        self.app.get("/metrics", response_class=PlainTextResponse)(self.measured)
        for path in ("/docs", "/redoc"):  # MLflow's take scripts from elsewhere
            self.app.get(path, include_in_schema=False)(lambda: RedirectResponse("/openapi.json"))
        # Other pages have their place above: what comes after it is not reached.
        self.app.mount("/", scoring_server.init(model))

    def warm_up(self) -> None:
        """Recognise something, so that the first request does not wait for what starts then."""
        self._model.warm_up()

    def stop(self) -> None:
        """Give up what is being answered, at once."""
        self._stopping.set()

    async def about(self) -> Model:
        """Say which classes are told apart, by which recogniser, and how large a request may be."""
        return self._about

    async def measured(self) -> Response:
        """Return what has been counted and timed, in Prometheus's text format."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def invocations(self, request: Request) -> Response:
        """Answer a batch of rows: a file's path in `video`, or its bytes as base64 in `content`."""
        async with self.place():
            async with self.arrival():
                body = await request.body()
            content_type = request.headers.get("content-type", "")
            return await self.answer(request, partial(self._model.invoke, body, content_type))

    async def recognise(self, request: Request) -> Response:
        """Answer one video file, the field `video` of a form."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise HTTPException(415, "expected a form, as multipart/form-data, with a file `video`")
        async with self.place(), AsyncExitStack() as stack:
            async with self.arrival():
                try:
                    reading = request.form(max_files=1, max_fields=8)
                    form = await stack.enter_async_context(reading)
                except UnicodeError as error:  # of a charset that Python has, and cannot use here
                    raise HTTPException(400, "the form cannot be read") from error
            video = form.get("video")
            if not isinstance(video, UploadFile):
                raise HTTPException(400, "expected a video file in the form's field `video`")
            return await self.answer(request, partial(self._model.look, video.file))

    @asynccontextmanager
    async def arrival(self) -> AsyncIterator[None]:
        """Wait for what a request brings; HTTPException (408) if it does not come."""
        try:
            async with asyncio.timeout(min(self._model.seconds, BODY_SECONDS)):
                yield
        except TimeoutError as error:
            raise HTTPException(408, "the request came too slowly") from error
        except ClientDisconnect as error:
            raise HTTPException(408, GONE) from error

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place among those that are answered or wait; HTTPException (503) if full."""
        if self._taken >= self._most:
            later = {"Retry-After": "5"}
            raise HTTPException(503, "the queue is full: ask again in some seconds", later)
        self._taken += 1
        self._metrics.set_places(self._taken, self._at_once)
        try:
            yield
        finally:
            self._taken -= 1
            self._metrics.set_places(self._taken, self._at_once)

    async def answer(self, request: Request, ask: Callable[[Stop], Response]) -> Response:
        """Answer what has come, in a thread; give up when the client goes."""
        gone = threading.Event()

        def stop() -> str:
            return STOPPING if self._stopping.is_set() else GONE if gone.is_set() else ""

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            gone.set()

        watching = asyncio.create_task(watch())
        waiting = asyncio.create_task(self._working.acquire())
        try:
            await asyncio.wait((watching, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not stop():
                response = await asyncio.to_thread(ask, stop)
        finally:
            watching.cancel()
            if not waiting.cancel():  # its turn had come
                self._working.release()
        if why := stop():
            raise HTTPException(503, why)
        return response


class BodyLimit:
    """An ASGI application that refuses a request of more bytes, by 413.

    As much again is taken and thrown away, as most clients read no answer while they send.
    """

    def __init__(self, app: Application, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the application, unless there are more bytes than it may have."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = HTTPException(413, f"a request has at most {self._most / MEGABYTE:g} MB")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            if int(length) <= 2 * self._most:
                await self._discard(receive)
            await refusal(too_large.status_code, too_large.detail)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Any:
            nonlocal taken
            part = await receive()
            taken += len(part.get("body", b""))
            if taken > self._most:
                if part.get("more_body"):
                    await self._discard(receive)
                raise too_large
            return part

        await self._app(scope, counted, send)

    async def _discard(self, receive: Receive) -> None:
        taken = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_DISCARD):
                while taken <= self._most:
                    part = await receive()
                    taken += len(part.get("body", b""))
                    if not part.get("more_body"):
                        break


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = refusal(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response
