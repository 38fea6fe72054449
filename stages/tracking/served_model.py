"""What MLflow serves: the recogniser of its folder, as a model from code.

A row of the input names a video file on the server's machine in `video`, or brings the file's bytes
in `content` (base64 in JSON); the other column is left out or empty. A row of the answer has the
best class in `label`, in `probability` how likely it is (or in `share` the softmax of its score,
where the recogniser is not calibrated), and in `scores` the fused score before softmax of every
class by its name, in the order of `classes` in recogniser.json. A row that cannot be
answered has the reason in `error` instead, and costs the others nothing. MLflow runs this file by
itself, beside a copy of `tsn`.

Its limits are those of `tsn.recogniser.served_limits`.
"""

import base64
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import cv2
import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from tsn.drawing.flow_colours import flow_colours
from tsn.drawing.image import Image
from tsn.drawing.modality_sheet import full_strength
from tsn.metrics import Scores
from tsn.recogniser.calibration import softmax
from tsn.recogniser.recogniser import load_recogniser
from tsn.recogniser.served_limits import served_limits
from tsn.recogniser.video_readers import ReadError
from tsn.streams.contents import VideoError
from tsn.workers.pool import Stop, StoppedError, never

BUNDLE = "recogniser"  # the artifact's name
EXPECTED = "a file's path in `video`, or its bytes in `content`"
PATH = re.compile(r"(?<![\w/])(?:/[^\s/'\":,]+){2,}")
SHOWN = 5  # classes in `top`
T = TypeVar("T")
logger = logging.getLogger(__name__)


class ServedRecogniser(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A recogniser as MLflow calls it."""

    # A server that runs this file sets it for a request whose answer may no longer be wanted.
    stop: ClassVar[ContextVar[Stop]] = ContextVar("stop", default=never)

    def load_context(self, context: Any) -> None:
        """Load the networks, once: on a GPU if there is one."""
        # Beside the copy of `tsn`, numba would write compiled code, as pickles, into the model.
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(caches) / "tsn-numba"))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        limits = served_limits(os.environ)
        self.seconds = limits.seconds
        self.recogniser = load_recogniser(Path(context.artifacts[BUNDLE]), device, limits.video)

    def predict(
        self,
        context: Any,  # noqa: ARG002  MLflow asks for these names
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Return a row with `label`, its share and `scores` for every row of the input.

        Where rows cannot be answered, there is a column `error`, and what a row lacks is None.
        """
        rows = model_input.to_dict(orient="records")
        if not rows:  # as after MLflow has dropped the columns that it does not know
            raise MlflowException(
                f"expected rows with {EXPECTED}; none came", INVALID_PARAMETER_VALUE
            )
        answers = pd.DataFrame(self._answer_all(rows))
        if "error" in answers:
            return answers.astype(object).where(answers.notna(), None)
        return answers

    def look(self, video: Path) -> dict[str, Any]:
        """Return the answer to a row that names this file, with what a page shows beside it.

        `top` has up to five classes and their shares. `moments` has where in the video each test
        snippet is (0 to 1), and in `shares` the softmax of each of these classes' score there.
        `pictures` are of the moment that shows the class best, as data URLs: the frame, and the
        flow if it is looked at. Of a video that cannot be recognised, there is `error` alone.
        """
        stop = self._until(time.monotonic() + self.seconds)
        try:
            sight = self._ask(self.recogniser.look, video, stop)
        except (ValueError, StoppedError) as error:
            return {"error": PATH.sub("a file", str(error))}
        classes, shares = self.recogniser.classes, self.recogniser.shares(sight.scores)
        measure = self.recogniser.measure
        best = [int(label) for label in np.argsort(-sight.scores, kind="stable")[:SHOWN]]
        moments = softmax(sight.moments)[:, best]
        pictures = {"frame": _data_url(sight.frame)}
        if sight.flow is not None:
            pictures["flow"] = _data_url(flow_colours(sight.flow, full_strength(sight.bound)))
        return {
            **self._answered(sight.scores),
            "top": [{"class": classes[k], measure: float(shares[k])} for k in best],
            "moments": {"at": list(sight.at), "shares": moments.T.tolist()},
            "pictures": pictures,
        }

    def warm_up(self) -> None:
        """Recognise a video that is made up, so that the first request finds all started."""
        self.recogniser.warm_up()

    def _answer_all(self, rows: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
        """Return the answers to the rows of a request, each within its share of what time is left.

        Rows that take more are tried once more in the end, with what the others have left.
        """
        end = time.monotonic() + self.seconds
        answers: dict[int, dict[str, Any]] = {}
        waiting = list(range(len(rows)))
        for _ in range(2):
            late = []
            for index, number in enumerate(waiting):
                now = time.monotonic()
                share = (end - now) / (len(waiting) - index)
                try:
                    answers[number] = self._answer(rows[number], self._until(now + share))
                except StoppedError as error:
                    answers[number] = {"error": str(error)}
                    late.append(number)
            waiting = late
        return [answers[number] for number in range(len(rows))]

    def _answer(self, row: Mapping[Any, Any], stop: Stop) -> dict[str, Any]:
        """Return the answer to a row, or `error`; raise OSError where the server is at fault."""
        video, content = (_given(row, column) for column in ("video", "content"))
        try:
            if (video is None) == (content is None):
                both = "both" if video is not None else "neither"
                raise ValueError(f"expected {EXPECTED}; {both} came")
            if content is None:
                scores = self._score(Path(str(video)), stop)
            else:
                scores = self._score_bytes(_bytes(content), stop)
        except ValueError as error:
            return {"error": PATH.sub("a file", str(error))}
        return self._answered(scores)

    def _answered(self, scores: Scores) -> dict[str, Any]:
        """Return what every answer has."""
        best, classes = int(scores.argmax()), self.recogniser.classes
        return {
            "label": classes[best],
            self.recogniser.measure: float(self.recogniser.shares(scores)[best]),
            "scores": {name: float(score) for name, score in zip(classes, scores, strict=True)},
        }

    def _until(self, deadline: float) -> Stop:
        """Return what gives the request's reason to stop, or that its time has passed."""
        wanted, late = self.stop.get(), f"not within the {self.seconds:g} s of a request"
        return lambda: wanted() or late * (time.monotonic() > deadline)

    def _score(self, video: Path, stop: Stop) -> Scores:
        return self._ask(self.recogniser.score, video, stop)

    def _ask(self, recognise: Callable[[Path, Stop], T], video: Path, stop: Stop) -> T:
        """Return what is made of a file; raise ValueError with the reason if nothing can be."""
        if why := stop():
            raise StoppedError(why)
        # Unlike that of a Path, it has no error for a text that can be no path.
        if not os.path.isfile(video):  # noqa: PTH113
            raise ValueError("no such video file")
        try:
            return recognise(video, stop)
        except VideoError as error:
            raise ValueError(error.reason) from error
        except ReadError as error:
            logger.error("a video cannot be read: %s", error)
            raise ValueError("the server cannot read this file; its log says why") from error

    def _score_bytes(self, content: bytes, stop: Stop) -> Scores:
        """Return the scores of a file, in a folder of its own: there is none beside it to name."""
        with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
            video = Path(folder) / "content"
            video.write_bytes(content)
            return self._score(video, stop)


def _data_url(image: Image) -> str:
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def _given(row: Mapping[Any, Any], column: str) -> str | bytes | None:
    """Return the value, or None where the column is missing or empty."""
    value = row.get(column)
    return value if isinstance(value, str | bytes) and value else None


def _bytes(content: str | bytes) -> bytes:
    """Return bytes, which a text holds as base64. Raises ValueError for another text."""
    if isinstance(content, bytes):
        return content
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except ValueError as error:
        raise ValueError(f"`content` is not base64 ({error})") from error


set_model(ServedRecogniser())
