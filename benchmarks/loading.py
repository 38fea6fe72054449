"""Training snippets by random access: ours beside decord, a folder of JPEGs, and bare decoding.

    python benchmarks/loading.py [--width 340 --height 256 --size 224 --segments 3]

It makes its videos and streams in a temporary folder, and measures the CPU time of one process on
one core, the contestants in turn. All give the same crops of the same frames of a video:

    ours     from the video's archive, with checksums, as training does
    decord   opens the video and seeks (RGB alone: there is no video of flow)
    folder   a file for each JPEG, read by OpenCV, cropped and stacked, as the public ports do
    decode   OpenCV decodes the same JPEGs, which are in memory: the limit

The last line is JSON; a share of decoding is decoding's time over ours.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch
from made_streams import QUALITY, make_clips, make_entries, write_folder, write_video

from tsn.modality import Modality, modality
from tsn.snippets.crops import Augmentation, Box, training_box
from tsn.snippets.dataset import TrainingSnippets
from tsn.snippets.sampling import training_starts

VIDEOS, ROUNDS = 12, 15
FRAMES = {"rgb": 150, "flow": 90}
AUGMENTATION = Augmentation(crop_scales=(1.0, 0.875, 0.75), crop_positions=13, mirror=False)


class Contest:
    """The contestants of a modality: each reads the snippets of a video, as (K, C, H, W)."""

    def __init__(self, folder: Path, row: Modality, arguments: argparse.Namespace) -> None:
        self.row, self.folder, self.arguments = row, folder, arguments
        length, size = FRAMES[row.name], (arguments.width, arguments.height)
        clips = make_clips(folder / "archives", row, VIDEOS, length, *size)
        for index in range(VIDEOS):
            entries = make_entries(row.stream, length, *size, seed=index)
            write_folder(folder / "jpegs" / str(index), entries, QUALITY[row.stream])
            if row.name == "rgb":
                write_video(folder / f"{index}.avi", entries)
        self.snippets = TrainingSnippets(
            clips,
            row,
            num_segments=arguments.segments,
            input_size=arguments.size,
            augmentation=AUGMENTATION,
            seed=1,
        )
        self.length = length
        self.wanted = [self.draw(position) for position in range(VIDEOS)]
        names = [[self.names(i, start) for start in starts] for i, starts, _ in self.wanted]
        self.bytes = [[path.read_bytes() for part in row for path in part] for row in names]

    def draw(self, position: int) -> tuple[int, list[int], Box]:
        """Return the video, the starts and the box that ours draws at a position."""
        index = self.snippets._index(position)
        generator = np.random.default_rng((1, 1, position))
        starts = training_starts(
            self.length, self.arguments.segments, self.row.snippet_length, generator
        )
        size = self.arguments.width, self.arguments.height
        box = training_box(*size, AUGMENTATION.crop_scales, 13, generator)
        return index, starts.tolist(), box

    def names(self, index: int, start: int) -> list[Path]:
        """Return the JPEG files of a snippet."""
        folder = self.folder / "jpegs" / str(index)
        numbers = range(start + 1, start + 1 + self.row.snippet_length)
        if self.row.name == "rgb":
            return [folder / f"img_{n:05d}.jpg" for n in numbers]
        return [folder / f"flow_{axis}_{n:05d}.jpg" for n in numbers for axis in "xy"]

    def ours(self, position: int) -> np.ndarray:
        """Read from the archive."""
        return self.snippets[position][0].numpy()

    def from_folder(self, position: int) -> np.ndarray:
        """Read a file for each image."""
        index, starts, box = self.wanted[position]
        mode = cv2.IMREAD_COLOR if self.row.name == "rgb" else cv2.IMREAD_GRAYSCALE
        return np.stack(
            [
                self.cut(
                    np.dstack([cv2.imread(str(p), mode) for p in self.names(index, start)]), box
                )
                for start in starts
            ]
        )

    def by_decord(self, position: int) -> np.ndarray:
        """Open the video and seek."""
        import decord

        index, starts, box = self.wanted[position]
        reader = decord.VideoReader(str(self.folder / f"{index}.avi"), num_threads=1)
        frames = reader.get_batch(starts).asnumpy()
        return np.stack([self.cut(frame, box) for frame in frames])

    def decode(self, position: int) -> None:
        """Decode, and no more."""
        mode = cv2.IMREAD_COLOR if self.row.name == "rgb" else cv2.IMREAD_GRAYSCALE
        for data in self.bytes[position]:
            cv2.imdecode(np.frombuffer(data, np.uint8), mode)

    def cut(self, image: np.ndarray, box: Box) -> np.ndarray:
        """Crop, scale and turn channels first."""
        size = self.arguments.size
        crop = np.ascontiguousarray(image[box.y : box.y + box.height, box.x : box.x + box.width])
        return cv2.resize(crop, (size, size)).reshape(size, size, -1).transpose(2, 0, 1)

    def contestants(self) -> dict[str, Callable[[int], object]]:
        """Return what is compared, by name."""
        found: dict[str, Callable[[int], object]] = {
            "ours": self.ours,
            "folder": self.from_folder,
            "decode": self.decode,
        }
        if self.row.name == "rgb" and find_spec("decord"):
            found["decord"] = self.by_decord
        return found


def milliseconds(contest: Contest) -> dict[str, float]:
    """Return each contestant's CPU time for a video: the median of rounds in turn."""
    contestants = contest.contestants()
    assert np.array_equal(contest.ours(0), contest.from_folder(0))  # the same crops, to the bit
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, read in contestants.items():
            start = time.process_time()
            for position in range(VIDEOS):
                read(position)
            times[name].append((time.process_time() - start) / VIDEOS * 1000)
    return {name: statistics.median(rows) for name, rows in times.items()}


def main() -> None:
    """Measure, print a table for each modality, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in {"width": 340, "height": 256, "size": 224, "segments": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for name in ("rgb", "flow"):
        with tempfile.TemporaryDirectory() as folder:
            took = milliseconds(Contest(Path(folder), modality(name), arguments))
        print(f"{name}, CPU ms a video of {arguments.segments} snippets")
        for contestant, value in took.items():
            print(f"  {contestant:8} {value:6.2f}   {value / took['ours']:.2f} of ours")
        if "decord" in took:
            figures[f"{name}_speedup_vs_decord"] = took["decord"] / took["ours"]
        figures[f"{name}_speedup_vs_jpeg_folder"] = took["folder"] / took["ours"]
        figures[f"{name}_share_of_decode"] = took["decode"] / took["ours"]
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
