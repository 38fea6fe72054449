"""What a recogniser saw in a video: its scores, those of each moment, and the best moment itself.

Letters: S test snippet, C class, H, W.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsn.flow.engines import Flow, uint8_to_flow
from tsn.metrics import Scores
from tsn.recogniser.sparse_read import Need, ReadSnippet, SparseRead
from tsn.snippets.sampling import testing_starts
from tsn.streams.table import FlowConfig
from tsn.streams.video import Frame


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One network's part: what it was shown, and the scores (S, C) of its snippets.

    `read` gives the images of the snippet that starts at an entry.
    """

    need: Need
    sparse: SparseRead
    read: ReadSnippet
    snippets: Scores

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Return the frames (S,) at which the snippets start."""
        entries = self.need.stream.num_entries(self.sparse.num_frames)
        return testing_starts(entries, self.need.snippets, self.need.modality.snippet_length)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Fused scores before softmax: (C,) of the video, (S, C) of its moments.

    at: where each moment is, from 0, the start, to 1, the end. frame: of the moment `best`, at
    which the video's class scores highest, (H, W, 3) BGR. flows: of every moment, (H, W, 2) in
    pixels, clipped at `bound`; none and 0 of a recogniser that does not look at flow.
    """

    scores: Scores
    moments: Scores
    at: tuple[float, ...]
    best: int
    frame: Frame
    flows: tuple[Flow, ...]
    bound: float

    @property
    def flow(self) -> Flow | None:
        """Return the flow of the best moment, if there is any."""
        return self.flows[self.best] if self.flows else None


def see_moments(seen: Sequence[Seen], scores: Scores, moments: Scores) -> Sight:
    """Return the sight of a video with those fused scores."""
    first, best = seen[0], int(moments[:, scores.argmax()].argmax())
    middle, frames = first.need.least_frames / 2, first.sparse.num_frames
    flows, bound = _flows(seen)
    return Sight(
        scores=scores,
        moments=moments,
        at=tuple(float(start + middle) / frames for start in first.starts),
        best=best,
        frame=first.sparse.frames[int(first.starts[best])],
        flows=flows,
        bound=bound,
    )


def _flows(seen: Sequence[Seen]) -> tuple[tuple[Flow, ...], float]:
    """Return the first field of every moment's snippet of flow, and their bound."""
    for one in seen:
        if isinstance(one.need.config, FlowConfig):
            bound = one.need.config.bound
            fields = (np.stack(one.read(int(start))[:2], axis=-1) for start in one.starts)
            return tuple(uint8_to_flow(field, bound) for field in fields), bound
    return (), 0.0


def write_test_clip(folder: Path, num_frames: int) -> Path:
    """Write a small video of grey noise that moves, of that many frames or more."""
    path, side = folder / "clip.avi", 64
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (side, side))
    if not writer.isOpened():
        raise OSError(f"{path}: OpenCV cannot write a video")
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for index in range(num_frames + 30):
        writer.write(np.ascontiguousarray(np.roll(noise, index, axis=1)))
    writer.release()
    return path
