"""What one video may take of a machine."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one video may take, so that no file can hold a machine.

    pixels: of a frame. frames: of a video. seconds_per_frame: to wait for the next frame; seconds:
    to wait for all frames. gigabytes: of memory, of a process that only reads.
    """

    pixels: int = 8192 * 4320
    frames: int = 1_000_000  # nine hours
    seconds_per_frame: float = 300.0  # opening a large file on a slow disk, too
    seconds: float = 3600.0
    gigabytes: float = 8.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is above 0 and finite, got {value}")


DEFAULT_LIMITS = Limits()
