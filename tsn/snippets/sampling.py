"""Where snippets start (paper section 3.1; docs/paper.md). Numbers in, numbers out.

A stream has `entries` consecutive entries, a snippet takes `length` of them. A stream shorter
than one snippet is refused: nothing would be left to read.
"""

import numpy as np
import numpy.typing as npt

Starts = npt.NDArray[np.int64]


def training_starts(
    entries: int, num_segments: int, length: int, generator: np.random.Generator
) -> Starts:
    """Return one start per segment, shape (K,).

    Segments are floor(entries / K) long; a snippet starts uniformly where it still fits into its
    segment. When a segment is shorter than a snippet, every snippet starts at the first entry.
    """
    _refuse_short(entries, length)
    segment = entries // num_segments
    if segment < length:
        return np.zeros(num_segments, dtype=np.int64)
    offsets = generator.integers(0, segment - length + 1, size=num_segments)
    return np.arange(num_segments, dtype=np.int64) * segment + offsets


def testing_starts(entries: int, num_snippets: int, length: int) -> Starts:
    """Return evenly spaced starts, shape (num_snippets,), floor((N - L) / (S - 1)) apart."""
    _refuse_short(entries, length)
    step = (entries - length) // max(num_snippets - 1, 1)
    return np.arange(num_snippets, dtype=np.int64) * step


def _refuse_short(entries: int, length: int) -> None:
    if entries < length:
        raise ValueError(f"a snippet takes {length} consecutive entries, the stream has {entries}")
