"""Long videos of the built-in dataset: actions with background between, and what happens when.

The annotations are those of ActivityNet: `{"database": {<id>: {"subset", "duration", "annotations":
[{"label", "segment": [start, end]}]}}}`, in seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsn.sources.synthetic import encode, render_background, render_clip
from tsn.sources.synthetic_motion import CLASSES, LONG_VIDEO, ClipSpec, SyntheticConfig, generator

GAP_SECONDS = (10, 30)  # of background before, between and after actions
ACTION_SECONDS = (2, 5)


@dataclass(frozen=True)
class Happening:
    """Some seconds of a long video: an action, a label of CLASSES, or background (None)."""

    label: int | None
    seconds: int


def draw_happenings(config: SyntheticConfig, number: int, actions: int) -> list[Happening]:
    """Return what happens in the long video of that number: every action of a class of its own."""
    rng = generator(config, LONG_VIDEO, number)
    found = [Happening(None, int(rng.integers(*GAP_SECONDS, endpoint=True)))]
    for label in rng.permutation(len(CLASSES))[:actions]:
        found.append(Happening(int(label), int(rng.integers(*ACTION_SECONDS, endpoint=True))))
        found.append(Happening(None, int(rng.integers(*GAP_SECONDS, endpoint=True))))
    return found


def write_long_video(
    config: SyntheticConfig, number: int, happenings: list[Happening], path: Path
) -> dict[str, Any]:
    """Encode a long video, and return its annotations; `config.frames` does not count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scenes = (
        _frames(config, number * 1000 + index, happening)
        for index, happening in enumerate(happenings)
    )
    encode(chain.from_iterable(scenes), config, path)
    annotations, second = [], 0
    for happening in happenings:
        end = second + happening.seconds
        if happening.label is not None:
            name = CLASSES[happening.label].name
            annotations.append({"label": name, "segment": [second, end]})
        second = end
    return {"subset": "validation", "duration": second, "annotations": annotations}


def _frames(
    config: SyntheticConfig, number: int, happening: Happening
) -> Iterator[npt.NDArray[np.uint8]]:
    frames = happening.seconds * config.frames_per_second
    if happening.label is None:
        yield from render_background(config, number, frames)
        return
    name = CLASSES[happening.label].name
    spec = ClipSpec("", name, happening.label, group=number, clip=1, tags=())
    yield from render_clip(spec, replace(config, frames=frames))
