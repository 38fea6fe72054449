"""Small pictures of clips, from the stream of a modality."""

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tsn.drawing.flow_colours import flow_colours
from tsn.drawing.image import Image
from tsn.streams.archives import ArchiveError, archive_path, count_entries, read_entries

HEIGHT = 84  # pixels
QUALITY = 70  # of the JPEGs
MIDDLE, STRONG = 128, 20.0  # of a flow's values: none, and what has full colour


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """Pictures of a stream's clips: frames, or flow in colours where the stream is of flow."""

    stream: Path

    def images(self, video: str, starts: list[int]) -> list[Image]:
        """Return the entries of a clip; none where the stream has no such clip."""
        try:
            entries = read_entries(archive_path(self.stream, video), starts)
        except (FileNotFoundError, ArchiveError):
            return []
        return [_image(entry) for entry in entries]

    def entries(self, video: str) -> int:
        """Return how many entries a clip has: 0 where the stream has no such clip."""
        try:
            return count_entries(archive_path(self.stream, video))
        except (FileNotFoundError, ArchiveError):
            return 0

    def middle(self, video: str) -> str:
        """Return the middle of a clip as a page holds it; "" where there is none."""
        entries = self.entries(video)
        return next(iter(self.pictures(video, [entries // 2])), "") if entries else ""

    def pictures(self, video: str, starts: list[int]) -> list[str]:
        """Return entries of a clip as a page holds them; none where the stream has no such clip."""
        found = []
        for image in self.images(video, starts):
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            found.append(f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}")
        return found


def _image(entry: Image) -> Image:
    if entry.shape[2] == 2:
        entry = flow_colours(entry.astype(np.float32) - MIDDLE, STRONG)
    width = max(round(entry.shape[1] * HEIGHT / entry.shape[0]), 1)
    return np.asarray(cv2.resize(entry, (width, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
