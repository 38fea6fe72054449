"""The web application around a served recogniser: what it answers, and what it refuses.

/invocations takes what MLflow's scoring server takes, and answers as that does; /ping, /health and
/version are MLflow's own. A refusal is JSON with `error_code` and `message`, and names no path of
the server:

    400  not what /invocations reads            403  of another site's page, or by another name
    408  a body that comes too slowly           413  a body of too many bytes
    415  neither JSON, CSV nor Parquet          422  no row can be answered: `predictions` say why
    500  the server failed: its log says why    503  the queue is full, or the server stops
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pandas as pd
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR
from mlflow.pyfunc import PyFuncModel, scoring_server
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from stages.runtime.environment import LOOPBACK
from stages.runtime.own_origin import Application, OwnOrigin, Receive, Scope, Send
from stages.tracking.model_server import RequestLimits

LONGEST_MESSAGE = 500
MEGABYTE = 1_000_000
BODY_SECONDS = 60.0  # for a request to come in: it has a place meanwhile
SECONDS_TO_DISCARD = 10.0  # what a refused client still sends
SECONDS = 300.0  # for a request to a model that does not say how long it may take
GONE, STOPPING = "whoever asked has gone", "the server is stopping"
logger = logging.getLogger(__name__)


class ModelServer:
    """A recogniser behind its application, `app`, until `stop` is called.

    more_names: what the server may be called, beside the names of this machine for itself.
    """

    def __init__(
        self, model: PyFuncModel, limits: RequestLimits, more_names: Collection[str] = ()
    ) -> None:
        self._model = ServedModel(model)
        at_once = min(_count_cores(), 32)  # and no more than asyncio has threads
        self._most = at_once + limits.queue
        self._taken = 0
        self._working = asyncio.Semaphore(at_once)
        self._stopping = threading.Event()
        self.app = FastAPI(title="A recogniser", docs_url=None, redoc_url=None, openapi_url=None)
        self.app.add_exception_handler(HTTPException, _refuse)
        self.app.add_middleware(BodyLimit, most=int(limits.megabytes * MEGABYTE))
        self.app.add_middleware(OwnOrigin, names=(*LOOPBACK, *more_names))
        self.app.post("/invocations")(self.invocations)
        # Other pages have their place above: what comes after it is not reached.
        self.app.mount("/", scoring_server.init(model))

    def stop(self) -> None:
        """Give up what is being answered, at once."""
        self._stopping.set()

    async def invocations(self, request: Request) -> Response:
        """Answer a batch of rows."""
        async with self.place():
            try:
                async with asyncio.timeout(min(self._model.seconds, BODY_SECONDS)):
                    body = await request.body()
            except TimeoutError as error:
                raise HTTPException(408, "the request came too slowly") from error
            except ClientDisconnect as error:
                raise HTTPException(408, GONE) from error
            return await self.answer(request, body, request.headers.get("content-type", ""))

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place among those that are answered or wait; HTTPException (503) if full."""
        if self._taken >= self._most:
            later = {"Retry-After": "5"}
            raise HTTPException(503, "the queue is full: ask again in some seconds", later)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def answer(self, request: Request, body: bytes, content_type: str) -> Response:
        """Answer a body of /invocations, in a thread; give up when the client goes."""
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
                ask = self._model.invoke
                response = await asyncio.to_thread(ask, body, content_type, stop)
        finally:
            watching.cancel()
            if not waiting.cancel():  # its turn had come
                self._working.release()
        if why := stop():
            raise HTTPException(503, why)
        return response


class ServedModel:
    """A model of `served_model.py`, asked for rows one by one.

    One that was logged before a row had an error of its own is asked as MLflow asks, all or none.
    """

    def __init__(self, model: PyFuncModel) -> None:
        served = model.unwrap_python_model()
        self._stop = getattr(served, "stop", None)
        self.seconds: float = getattr(served, "seconds", SECONDS)
        if self._stop is not None:
            # Without the signature, by which one row of another type would cost all of them.
            self._predict = lambda table: served.predict(None, table)
            self._metadata, self._schema = None, None
        else:
            self._predict, self._metadata = model.predict, model.metadata
            self._schema = model.metadata.get_input_schema()

    def invoke(self, body: bytes, content_type: str, stop: Callable[[], str]) -> Response:
        """Return the response to the body of a request, unless `stop` gives a reason."""
        if self._stop is not None:
            self._stop.set(stop)
        call = _Call(self._predict, self._metadata)
        try:
            found = scoring_server.invocations(body, content_type, call, self._schema)
        except MlflowException as error:
            message = error.message.rpartition("\nError: ")[2].partition("\n")[0]
            return _refusal(error.get_http_status_code(), message)
        except Exception as error:  # of MLflow's parsers
            return _refusal(400, f"not what /invocations reads ({type(error).__name__})")
        if found.status != HTTPStatus.OK:
            return _refusal(found.status, found.response)
        if all("error" in row for row in call.rows):
            message = f"row 0: {call.rows[0]['error']}"
            return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message, predictions=call.rows)
        return Response(found.response, media_type=found.mimetype)


class _Call:
    """One call of a model by MLflow's scoring server, which keeps the rows of the answer."""

    def __init__(self, predict: Callable[[pd.DataFrame], pd.DataFrame], metadata: Any) -> None:
        self._predict = predict
        self.metadata = metadata
        self.rows: list[dict[str, Any]] = []

    def predict(self, data: Any) -> list[dict[str, Any]]:
        try:
            table = pd.DataFrame(data)
        except ValueError as error:
            raise MlflowException("expected a table of rows", BAD_REQUEST) from error
        try:
            answers = self._predict(table).to_dict(orient="records")
        except MlflowException:
            raise
        except Exception as error:
            logger.exception("a request failed")
            told = "the server failed: its log says why"
            raise MlflowException(told, INTERNAL_ERROR) from error
        self.rows = [{str(key): row[key] for key in row if row[key] is not None} for row in answers]
        return self.rows


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
        refusal = HTTPException(413, f"a request has at most {self._most / MEGABYTE:g} MB")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            if int(length) <= 2 * self._most:
                await self._discard(receive)
            await _refusal(refusal.status_code, refusal.detail)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Any:
            nonlocal taken
            part = await receive()
            taken += len(part.get("body", b""))
            if taken > self._most:
                if part.get("more_body"):
                    await self._discard(receive)
                raise refusal
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
    response = _refusal(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


def _refusal(status: int, message: str, **more: Any) -> JSONResponse:
    content = {"error_code": HTTPStatus(status).name, "message": message[:LONGEST_MESSAGE], **more}
    return JSONResponse(content, status)
