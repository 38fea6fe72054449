"""What a request may take of a served recogniser, which has no params.yaml: variables say it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tsn.streams.limits import DEFAULT_LIMITS, Limits

PIXELS, FRAMES, SECONDS = "TSN_SERVE_PIXELS", "TSN_SERVE_FRAMES", "TSN_SERVE_SECONDS"
DEFAULT_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class ServedLimits:
    """The limits of each video, and the seconds for all videos of a request."""

    video: Limits
    seconds: float


def served_limits(environment: Mapping[str, str]) -> ServedLimits:
    """Return the limits that the variables set; ValueError names one that is no number above 0."""

    def number(name: str, default: float) -> float:
        text = environment.get(name, "")
        try:
            value = float(text or default)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} is a number above 0, not {text!r}")
        return value

    pixels, frames = number(PIXELS, DEFAULT_LIMITS.pixels), number(FRAMES, DEFAULT_LIMITS.frames)
    return ServedLimits(
        video=Limits(pixels=int(pixels), frames=int(frames)),
        seconds=number(SECONDS, DEFAULT_SECONDS),
    )
