"""Videos with damage of every kind, in every container: no crash, no hang, no silent short read.

    PYTHONPATH=.:tests python tests/tsn/streams/test_fuzz.py 2000

tries so many mutations of each container and tells the figures; the test tries a few.
"""

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest
from encoded import KINDS, encode_kind

from tsn.streams.contents import VideoError
from tsn.streams.limits import Limits
from tsn.streams.video import FrameReader, initialise_worker, read_video, unexpected
from tsn.workers.pool import run_tasks
from tsn.workers.watchdog import watched

LIMITS = Limits(seconds_per_frame=20.0, seconds=60.0, gigabytes=2.0)
MUTATIONS = 12
Mutation = Callable[[bytearray, random.Random], None]


def flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def flip_in_the_header(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 4))):
        data[chance.randrange(min(400, len(data)))] = chance.randrange(256)


def truncate(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def clear(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 50, 5000)))
    data[start:end] = bytes(end - start)


def remove(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 50, 2000))]


def repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.choice((1, 50, 5000))]


def largest_number(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(min(600, len(data) - 4))
    data[start : start + 4] = chance.choice((b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff"))


ALL: tuple[Mutation, ...] = (
    *(flip, flip_in_the_header, truncate, clear, remove, repeat, largest_number),
)


def mutants(folder: Path, ending: str, number: int) -> Iterator[Path]:
    """Write so many mutations of a video; each time the same."""
    whole = encode_kind(folder, ending, 20).read_bytes()
    chance = random.Random(f"{ending} 20161008")
    for index in range(number):
        data = bytearray(whole)
        ALL[index % len(ALL)](data, chance)
        path = folder / f"{index}.{ending}"
        path.write_bytes(data)
        yield path


def look(path: Path, _: str) -> str:
    """Return `read`, why not, or how short it was read, by what OpenCV reads."""

    def count(reader: FrameReader) -> int:
        return sum(1 for _ in watched(iter(reader), LIMITS.seconds_per_frame, LIMITS.seconds))

    try:
        found = read_video(path, count, LIMITS)
    except VideoError:
        return "refused"
    except Exception as error:
        return unexpected(error)
    capture, there = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0
    while capture.read()[0]:
        there += 1
    return "read" if found >= there else f"short: {found} of {there}"


def outcomes(folder: Path, ending: str, number: int) -> Iterator[tuple[Path, str]]:
    begin = partial(initialise_worker, LIMITS.gigabytes)
    for path, answer in run_tasks(look, mutants(folder, ending, number), ["cpu", "cpu"], begin):
        yield path, str(answer)


@pytest.mark.slow
@pytest.mark.parametrize("ending", KINDS)
def test_damage_is_refused_or_read_to_the_end(tmp_path: Path, ending: str) -> None:
    found = dict(outcomes(tmp_path, ending, MUTATIONS))
    bad = {path.name: said for path, said in found.items() if said not in ("read", "refused")}
    assert len(found) == MUTATIONS and not bad


if __name__ == "__main__":
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as place:
            seen = Counter(said for _, said in outcomes(Path(place), kind, int(sys.argv[1])))
            sys.stdout.write(f"{kind} {dict(seen)}\n")
            sys.stdout.flush()
