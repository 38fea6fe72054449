"""The part of a video that its test snippets look at, as extraction would have stored it.

25 snippets of a five-minute video take at most 125 of its 7,500 flow fields: those alone are
computed, and only the frames they are made from are kept.

Letters: T entry, H, W, C channel.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from tsn.modality import Modality
from tsn.snippets.sampling import testing_starts
from tsn.streams.archives import Archive, Image, write_archive
from tsn.streams.contents import VideoError, inspect
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.table import FramesConfig, Stream, WorkerDevice
from tsn.streams.video import Frame, FrameReader, read_video, resize_frame
from tsn.workers.prefetch import map_ahead
from tsn.workers.watchdog import watched

# Entries computed by one thread in a row. Fewer would share the work better, but every run of flow
# looks at one frame more than it has entries.
LONGEST_RUN = 16
ReadSnippet = Callable[[int], list[Image]]  # gives the images of the snippet that starts there


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a modality needs of a video: a stream made with `config`, this many snippets of it."""

    modality: Modality
    stream: Stream
    config: FramesConfig
    snippets: int

    @property
    def least_frames(self) -> int:
        """Return how many frames a snippet takes."""
        return self.modality.snippet_length + self.stream.frames_per_entry - 1

    def entries(self, num_frames: int) -> list[int]:
        """Return the entries of the snippets, each once and sorted; none of too short a video."""
        if num_frames < self.least_frames:
            return []
        length = self.modality.snippet_length
        starts = testing_starts(self.stream.num_entries(num_frames), self.snippets, length)
        return sorted({int(start) + offset for start in starts for offset in range(length)})

    def frames(self, num_frames: int) -> set[int]:
        """Return the frames that those entries are made from."""
        per_entry = range(self.stream.frames_per_entry)
        return {entry + offset for entry in self.entries(num_frames) for offset in per_entry}


@dataclass(frozen=True, kw_only=True)
class SparseRead:
    """The frames of a video that are needed, in one size, by number, and how many it has."""

    num_frames: int
    frames: Mapping[int, Frame]


def read_sparsely(path: Path, needs: Sequence[Need], limits: Limits = DEFAULT_LIMITS) -> SparseRead:
    """Read the frames that are needed, all of one size.

    The video is read once (`read_video`), twice if it has not as many frames as it claims. Raises
    as `FrameReader` does, and VideoError for a video shorter than a snippet.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    looks = (inspect(path, limits) for _ in range(1))
    claimed = next(watched(looks, limits.seconds)).shown
    found = _collect(path, needs, claimed, limits)
    if found.num_frames != claimed:
        found = _collect(path, needs, found.num_frames, limits)
    for need in needs:
        if found.num_frames < need.least_frames:
            raise VideoError(
                path,
                f"{found.num_frames} frames, a snippet of {need.modality.name} takes "
                f"{need.least_frames}",
            )
    return found


def _collect(path: Path, needs: Sequence[Need], num_frames: int, limits: Limits) -> SparseRead:
    needed = set().union(*(need.frames(num_frames) for need in needs))
    width, height = needs[0].config.width, needs[0].config.height

    def read(reader: FrameReader) -> SparseRead:
        frames = {
            number: resize_frame(frame, width, height)
            for number, frame in enumerate(
                watched(iter(reader), limits.seconds_per_frame, limits.seconds)
            )
            if number in needed
        }
        return SparseRead(num_frames=reader.num_frames, frames=frames)

    return read_video(path, read, limits)


def snippet_reader(sparse: SparseRead, need: Need, device: str, threads: int) -> ReadSnippet:
    """Return what gives the images of the snippet that starts at an entry, as from an archive.

    The entries are computed on `device` ("cpu" or such as "cuda:0") by that many threads, and go
    through the JPEGs of an archive, so that they are what the networks were trained on.
    """
    numbers = need.entries(sparse.num_frames)
    images = _through_archive(_compute(sparse, need, numbers, device, threads), need.config)
    of_entry = len(images) // len(numbers)
    position = {number: index * of_entry for index, number in enumerate(numbers)}

    def read(start: int) -> list[Image]:
        first = position[start]
        return images[first : first + of_entry * need.modality.snippet_length]

    return read


def _compute(
    sparse: SparseRead, need: Need, numbers: Sequence[int], device: str, threads: int
) -> Iterator[npt.NDArray[np.uint8]]:
    worker = WorkerDevice(name=device, threads=1)

    def compute(run: range) -> list[npt.NDArray[np.uint8]]:
        last = run.stop + need.stream.frames_per_entry - 1
        frames = (sparse.frames[number] for number in range(run.start, last))
        return [entry.pixels for entry in need.stream.make_entries(frames, need.config, worker)]

    for entries in map_ahead(compute, runs(numbers), threads):
        yield from entries


def runs(numbers: Collection[int]) -> list[range]:
    """Return sorted numbers as ranges of at most LONGEST_RUN that follow one another."""
    found: list[range] = []
    for number in numbers:
        if found and found[-1].stop == number and len(found[-1]) < LONGEST_RUN:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found


def _through_archive(entries: Iterator[npt.NDArray[np.uint8]], config: FramesConfig) -> list[Image]:
    with TemporaryDirectory(prefix="tsn-") as folder:
        path = Path(folder) / "entries.zip"
        count = write_archive(path, entries, config.jpeg_quality)
        with Archive(path) as archive:
            return archive.images(range(count))
