"""Speeds of a study: frames a second of the whole method, as `stages.operate.speed` measures them.

They are of one machine, and so are published ones: neither is compared with the other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tsn.records import record

HEADING = "frames/s"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Frames a second of each row of the results, on the videos that were measured.

    key: a digest of all that they depend on. device: what was computed on, in words.
    """

    key: str
    device: str
    videos: tuple[str, ...]
    frames_per_second: dict[str, float]


def read_speed(path: Path) -> Speed:
    """Return the speeds in a file. OSError without one, ValueError for another content."""
    return record(json.loads(path.read_text(encoding="utf-8")), Speed, str(path))


def shown_speed(value: float | None) -> str:
    """Return a speed as a table has it: `340`, `4.6`, or a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def speed_remark(speeds: Sequence[Speed], published_on: str) -> str:
    """Return what the measured speeds count, on what, and what published ones are."""
    devices = "; ".join(dict.fromkeys(speed.device for speed in speeds))
    number = max(len(speed.videos) for speed in speeds)
    quoted = f" Those published are of {published_on}: another machine." if published_on else ""
    return (
        f"Frames/s count all that a test video takes, alone: decoding, the streams of all its "
        f"frames, and every network. The median of {number} videos, on {devices}.{quoted}"
    )
