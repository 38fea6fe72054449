"""What the videos of a dataset are like: size, rate, length, and a fingerprint of what they show.

Every video is decoded as a whole, as only that tells how many frames it has. It is looked at once:
what was found lies in a cache under the hash of its bytes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tsn.files import write_csv, write_json
from tsn.streams.contents import LimitError, VideoError
from tsn.streams.limits import DEFAULT_LIMITS, Limits
from tsn.streams.video import (
    Frame,
    FrameReader,
    decord_version,
    initialise_worker,
    pyav_version,
    read_video,
    unexpected,
)
from tsn.workers.pool import Died, run_tasks
from tsn.workers.watchdog import watched

COLUMNS = (
    *("video", "width", "height", "frames_per_second"),
    *("counted", "frames", "seconds", "decoder", "defect"),
)
VERSION = 4  # raise with every change of what is found
_POSITIONS = (0.125, 0.375, 0.625)  # of the frames that are fingerprinted
_HASH_SIZE = 8  # a difference hash has 8 x 8 bits
_LEAST_CONTRAST = 4.0  # gray levels; a flat frame looks like any other


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a video.

    `hashes` are 64-bit difference hashes of three of its frames, "" for a flat one. `counted` is
    how many frames its header says it has, `frames` how many can be decoded, and by which
    `decoder`. `defect` says why nothing is known, and is empty otherwise.
    """

    width: int = 0
    height: int = 0
    frames_per_second: float = 0.0
    counted: int = 0
    frames: int = 0
    hashes: tuple[str, ...] = ()
    decoder: str = ""
    defect: str = ""

    @property
    def seconds(self) -> float:
        """Return how long the frames that can be decoded last; 0 where the rate is unknown."""
        return self.frames / self.frames_per_second if self.frames_per_second > 0 else 0.0


def survey(
    videos_dir: Path,
    hashes: Mapping[str, str],
    cache_dir: Path,
    workers: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[str, Facts]]:
    """Yield every video with its facts, as they are found. `hashes` are the SHA-256 of the videos.

    A video that cannot be read has a defect.
    """
    missing: dict[str, list[str]] = {}
    for video, digest in hashes.items():
        known = _cached(cache_dir, digest)
        if known is None:
            missing.setdefault(digest, []).append(video)
        else:
            yield video, known
    tasks = [Path(videos_dir) / same[0] for same in missing.values()]
    digests = dict(zip(tasks, missing, strict=True))
    look, begin = partial(_look, limits=limits), partial(initialise_worker, limits.gigabytes)
    for task, answer in run_tasks(look, tasks, ["cpu"] * max(workers, 1), begin):
        digest = digests[task]
        if isinstance(answer, Died):
            answer = Facts(defect=f"the process that looked at it {answer}")
        elif isinstance(answer, str):
            answer = Facts(defect=answer)
        else:
            _remember(cache_dir, digest, answer)
        for video in missing[digest]:
            yield video, answer


def write_facts(path: Path, facts: Mapping[str, Facts]) -> None:
    """Write the facts as CSV, a video a line."""
    lines = (
        (
            video,
            row.width,
            row.height,
            round(row.frames_per_second, 3),
            row.counted,
            row.frames,
            round(row.seconds, 2),
            row.decoder,
            row.defect,
        )
        for video, row in sorted(facts.items())
    )
    write_csv(path, COLUMNS, lines)


def difference_hash(frame: Frame) -> str:
    """Return 64 bits in hexadecimal, whether each pixel of a tiny frame is darker than the next.

    Equal for a frame that was scaled or encoded anew, but for a few bits; "" for a flat frame.
    """
    gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    tiny = cv2.resize(gray, (_HASH_SIZE + 1, _HASH_SIZE), interpolation=cv2.INTER_AREA)
    if tiny.std() < _LEAST_CONTRAST:
        return ""
    bits: npt.NDArray[np.bool_] = tiny[:, 1:] > tiny[:, :-1]
    return np.packbits(bits).tobytes().hex()


def _look(path: Path, _: str, limits: Limits) -> Facts | str:
    """Return the facts of a video, or an error that says more of this machine than of the video."""
    try:
        return read_video(path, partial(_facts, limits=limits), limits)
    except LimitError as error:
        return error.reason
    except VideoError as error:
        return Facts(defect=error.reason)
    except OSError:
        raise
    except Exception as error:
        return unexpected(error)


def _facts(reader: FrameReader, limits: Limits) -> Facts:
    shown: list[Frame] = []
    width = height = 0
    for frame in watched(iter(reader), limits.seconds_per_frame, limits.seconds):
        height, width = frame.shape[:2]
        while _is_shown(reader, len(shown)):
            shown.append(frame)
    return Facts(
        width=width,
        height=height,
        frames_per_second=reader.frames_per_second,
        counted=reader.num_counted,
        frames=reader.num_frames,
        hashes=tuple(map(difference_hash, shown)),
        decoder=reader.decoder,
    )


def _is_shown(reader: FrameReader, num_shown: int) -> bool:
    """Return whether the frame that just came is the fingerprint's next; of short videos, twice."""
    return (
        num_shown < len(_POSITIONS)
        and reader.num_frames > _POSITIONS[num_shown] * reader.num_promised
    )


def _version() -> str:
    """Return what decides what is found in a video, beside its bytes."""
    return f"{VERSION} decord {decord_version()} pyav {pyav_version()}"


def _cache_path(cache_dir: Path, digest: str) -> Path:
    return Path(cache_dir) / digest[:2] / f"{digest}.json"


def _cached(cache_dir: Path, digest: str) -> Facts | None:
    try:
        known = json.loads(_cache_path(cache_dir, digest).read_text(encoding="utf-8"))
        if known.pop("version") != _version():
            return None
        return Facts(**known | {"hashes": tuple(known["hashes"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _remember(cache_dir: Path, digest: str, facts: Facts) -> None:
    write_json(_cache_path(cache_dir, digest), asdict(facts) | {"version": _version()})
