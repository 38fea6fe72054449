"""The page of a served recogniser, and what /openapi.json says of its requests and answers."""

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

PAGE = Path(__file__).with_name("model_page.html")
# The page is whole: it fetches nothing but from this server, and stands in no other page.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@cache
def page() -> Response:
    """Return the page at /."""
    return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=HEADERS)


class ServedClass(BaseModel):
    """A class, with its probability or, of a recogniser that is not calibrated, its share: the
    softmax of its fused score."""

    name: str = Field(alias="class")
    probability: float | None = None
    share: float | None = None


class Moments(BaseModel):
    """Test snippets: where each is in the video (0 to 1), and for each of the best classes the
    softmax of its score there."""

    at: list[float]
    shares: list[list[float]]


class Recognised(BaseModel):
    """A video's answer, with the probability of its label, or its share.

    `scores` are fused scores before softmax; `pictures` are data URLs of the moment that shows the
    class best: `frame`, and `flow` if the recogniser looks at it.
    """

    label: str
    probability: float | None = None
    share: float | None = None
    scores: dict[str, float]
    top: list[ServedClass] = []
    moments: Moments | None = None
    pictures: dict[str, str] = {}


class Rows(BaseModel):
    """The answers to the rows of a request, in their order; `error` for one without an answer."""

    predictions: list[dict[str, Any]]


class Refusal(BaseModel):
    """Why there is no answer."""

    error_code: str
    message: str


class Model(BaseModel):
    """What is served: its classes, its fingerprint, and how many MB a request may have."""

    classes: list[str]
    fingerprint: str
    megabytes: float


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "Not what can be read here"},
    408: {"model": Refusal, "description": "It came too slowly"},
    413: {"model": Refusal, "description": "Too many bytes"},
    415: {"model": Refusal, "description": "Of another content type"},
    422: {"model": Refusal, "description": "Not a video that can be recognised"},
    500: {"model": Refusal, "description": "The server failed; its log says why"},
    503: {"model": Refusal, "description": "The queue is full; Retry-After says when to ask again"},
}
RECOGNISE: dict[str, Any] = {
    "responses": {200: {"model": Recognised}, **REFUSALS},
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["video"],
                        "properties": {"video": {"type": "string", "format": "binary"}},
                    }
                }
            },
        }
    },
}
_ROW = {
    "type": "object",
    "properties": {"video": {"type": "string"}, "content": {"type": "string", "format": "byte"}},
}
INVOCATIONS: dict[str, Any] = {
    "responses": {200: {"model": Rows}, **REFUSALS},
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"dataframe_records": {"type": "array", "items": _ROW}},
                    }
                }
            },
        }
    },
}
