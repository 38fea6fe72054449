"""What MLflow serves: the recogniser of its folder, as a model from code.

A row of the input names a video file on the server's machine in `video`, or brings the file's bytes
in `content` (base64 in JSON); the other column is left out or empty. A row of the answer has the
best class in `label`, its softmax in `probability`, and in `scores` the fused score before softmax
of every class by its name, in the order of `classes` in recogniser.json. MLflow runs this file by
itself, beside a copy of `tsn`.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from tsn.metrics import Scores
from tsn.recogniser.recogniser import load_recogniser, softmax
from tsn.streams.contents import VideoError

BUNDLE = "recogniser"  # the artifact's name
EXPECTED = "a file's path in `video`, or its bytes in `content`"


class ServedRecogniser(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A recogniser as MLflow calls it; a row that cannot be answered is an error of the request."""

    def load_context(self, context: Any) -> None:
        """Load the networks, once: on a GPU if there is one."""
        # Beside the copy of `tsn`, numba would write compiled code, as pickles, into the model.
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(caches) / "tsn-numba"))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.recogniser = load_recogniser(Path(context.artifacts[BUNDLE]), device)

    def predict(
        self,
        context: Any,  # noqa: ARG002  MLflow asks for these names
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Return a row with `label`, `probability` and `scores` for every row of the input."""
        rows = model_input.to_dict(orient="records")
        if not rows:  # as after MLflow has dropped the columns that it does not know
            raise MlflowException(
                f"expected rows with {EXPECTED}; none came", INVALID_PARAMETER_VALUE
            )
        return pd.DataFrame([self.answer(number, row) for number, row in enumerate(rows)])

    def answer(self, number: int, row: Mapping[Any, Any]) -> dict[str, Any]:
        """Return the answer to a row; raise MlflowException (400) naming it if there is none."""
        video, content = (_given(row, column) for column in ("video", "content"))
        try:
            if (video is None) == (content is None):
                both = "both" if video is not None else "neither"
                raise ValueError(f"expected {EXPECTED}; {both} came")
            scores = self._score(Path(video)) if content is None else self._score_bytes(content)
        except ValueError as error:
            raise MlflowException(f"row {number}: {error}", INVALID_PARAMETER_VALUE) from error
        best, classes = int(scores.argmax()), self.recogniser.classes
        return {
            "label": classes[best],
            "probability": float(softmax(scores)[best]),
            "scores": {name: float(score) for name, score in zip(classes, scores, strict=True)},
        }

    def _score(self, video: Path, name: str = "") -> Scores:
        """Return the scores of a file, which an error calls by that name or its path."""
        # Unlike that of a Path, it has no error for a text that can be no path.
        if not os.path.isfile(video):  # noqa: PTH113
            raise ValueError(f"{name or video}: no such video file")
        try:
            return self.recogniser.score(video)
        except VideoError as error:
            raise ValueError(f"{name or video}: {error.reason}") from error

    def _score_bytes(self, content: bytes) -> Scores:
        """Return the scores of a file, in a folder of its own: there is none beside it to name."""
        with tempfile.TemporaryDirectory(prefix="tsn-") as folder:
            video = Path(folder) / "content"
            video.write_bytes(content)
            return self._score(video, "content")


def _given(row: Mapping[Any, Any], column: str) -> Any:
    """Return the value, or None where the column is missing or empty."""
    value = row.get(column)
    return value if isinstance(value, str | bytes) and value else None


set_model(ServedRecogniser())
