"""A loaded model, as the server asks it: for rows, or for one file."""

import logging
import shutil
import tempfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

import pandas as pd
from fastapi import Response
from fastapi.responses import JSONResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR
from mlflow.pyfunc import PyFuncModel, scoring_server

LONGEST_MESSAGE = 500
FAILED = "the server failed: its log says why"
SECONDS = 300.0  # for a request to a model that does not say how long it may take
Stop = Callable[[], str]  # says why to stop; nothing as long as there is no reason
logger = logging.getLogger(__name__)


class AskedModel:
    """A model of `served_model.py`, asked for rows one by one.

    One that was logged before a row had an error of its own is asked as MLflow asks, all or none.
    One that cannot `look` says less of a file. count: told of videos, recognised and refused.
    """

    def __init__(self, model: PyFuncModel, count: Callable[[int, int], None]) -> None:
        self._count = count
        served = model.unwrap_python_model()
        self._look: Callable[[Path], dict[str, Any]] = getattr(served, "look", self._answer_path)
        self.warm_up: Callable[[], None] = getattr(served, "warm_up", lambda: None)
        self._stop = getattr(served, "stop", None)
        self.seconds: float = getattr(served, "seconds", SECONDS)
        self._predict: Callable[[pd.DataFrame], pd.DataFrame]
        if self._stop is not None:
            # Without the signature, by which one row of another type would cost all of them.
            self._predict = lambda table: served.predict(None, table)
            self._metadata, self._schema = None, None
        else:
            self._predict, self._metadata = model.predict, model.metadata
            self._schema = model.metadata.get_input_schema()

    def invoke(self, body: bytes, content_type: str, stop: Stop) -> Response:
        """Return the response to the body of a request, unless `stop` gives a reason."""
        self._set_stop(stop)
        call = _Call(self._predict, self._metadata)
        try:
            found = scoring_server.invocations(body, content_type, call, self._schema)
        except MlflowException as error:
            message = error.message.rpartition("\nError: ")[2].partition("\n")[0]
            return refusal(error.get_http_status_code(), message)
        except Exception as error:  # of MLflow's parsers
            return refusal(400, f"not what /invocations reads ({type(error).__name__})")
        if found.status != HTTPStatus.OK:
            return refusal(found.status, found.response)
        errors = sum("error" in row for row in call.rows)
        self._count(len(call.rows) - errors, errors)
        if errors == len(call.rows):
            message = f"row 0: {call.rows[0]['error']}"
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message, predictions=call.rows)
        return Response(found.response, media_type=found.mimetype)

    def look(self, video: IO[bytes], stop: Stop) -> Response:
        """Return the response to a file's bytes, unless `stop` gives a reason."""
        self._set_stop(stop)
        try:
            with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
                path = Path(folder) / "content"  # alone there: it can name no other file
                with path.open("wb") as file:
                    shutil.copyfileobj(video, file)
                answer = self._look(path)
        except MlflowException as error:  # a model from before a row had an error of its own
            self._count(False, True)
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error.message))
        except Exception:
            logger.exception("a request failed")
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED)
        self._count("error" not in answer, "error" in answer)
        if "error" in answer:
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, answer["error"])
        return JSONResponse(answer)

    def _answer_path(self, path: Path) -> dict[str, Any]:
        """Return the answer of a model that cannot look."""
        table = self._predict(pd.DataFrame({"video": [str(path)]}))
        answer = table.to_dict(orient="records")[0]
        return {str(key): value for key, value in answer.items() if value is not None}

    def _set_stop(self, stop: Stop) -> None:
        if self._stop is not None:
            self._stop.set(stop)


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
            raise MlflowException(FAILED, INTERNAL_ERROR) from error
        self.rows = [{str(key): row[key] for key in row if row[key] is not None} for row in answers]
        return self.rows


def refusal(status: int, message: str, **more: Any) -> JSONResponse:
    """Return a response without an answer, with the reason."""
    content = {"error_code": HTTPStatus(status).name, "message": message[:LONGEST_MESSAGE], **more}
    return JSONResponse(content, status)
