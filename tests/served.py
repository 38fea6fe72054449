"""Recognisers behind their server's application, in the process of a test."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from recognisers import CLASSES

from stages.tracking.model_server import RequestLimits

if TYPE_CHECKING:
    from stages.tracking.model_app import ModelServer


def served_recogniser(folder: Path) -> Any:
    """What MLflow makes of a recogniser's folder."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint")  # of MLflow's classes
        from stages.tracking import served_model

    served = served_model.ServedRecogniser()
    served.load_context(SimpleNamespace(artifacts={served_model.BUNDLE: folder}))
    return served


def serve(served: Any, megabytes: float = 1) -> "ModelServer":
    """A server of a recogniser that MLflow has made."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint")
        from stages.tracking.model_app import ModelServer

    metadata = {"classes": list(CLASSES), "fingerprint": "f" * 64}
    model: Any = SimpleNamespace(
        metadata=SimpleNamespace(get_input_schema=lambda: None, metadata=metadata),
        unwrap_python_model=lambda: served,
    )
    return ModelServer(model, RequestLimits(megabytes=megabytes))
