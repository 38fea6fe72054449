"""New labelled clips on their way into a dataset: found, looked at, taken in or refused.

An inbox is a folder of `<class>/<clip>`, or a CSV file of paths and labels (`tsn.listing`). Nothing
in it is moved or changed: what was taken in is known by its bytes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from tsn.additions import CLIPS, VIDEOS, Addition, read_additions, write_additions
from tsn.atomic import copy_file
from tsn.folder import has_control_character, visible_files
from tsn.leakage import find_leaks
from tsn.listing import read_rows
from tsn.lists import ListedVideo
from tsn.store import hash_file
from tsn.survey import survey
from tsn.video import FrameReader, VideoError, quiet_decoding
from tsn.watchdog import watched
from tsn.worker_pool import Died, run_tasks

SETTLED_SECONDS = 10.0  # a file changed since then may still be being written
_LOOKED_AT = (64, 48)  # pixels; frames are only counted


@dataclass(frozen=True, kw_only=True)
class IntakeConfig:
    """Where new clips are put: a folder of `<class>/<clip>`, or a CSV file, its paths relative to
    the folder it is in."""

    inbox: str


@dataclass(frozen=True)
class NewClip:
    """A file of the inbox that is said to be of a class; `group` is "" where its name may say."""

    path: Path
    label: str
    group: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a dataset is before clips are taken in.

    digests: SHA-256 of every video it has. test: its test videos of all splits, whose files lie
    below `videos`.
    """

    videos: Path
    classes: tuple[str, ...]
    digests: Mapping[str, str]
    test: Sequence[ListedVideo]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """`taken` as new additions; `refused` with the reasons; `known` are of bytes that the dataset
    has, `unsettled` may still be being written."""

    taken: tuple[Addition, ...]
    refused: Mapping[Path, str]
    known: int
    unsettled: int


def find_clips(inbox: Path) -> tuple[list[NewClip], dict[Path, str]]:
    """The files of an inbox, and those that are none of a class, with the reason.

    An inbox folder that is not there is empty. SourceError for a CSV file that cannot be used.
    """
    if inbox.suffix.lower() == ".csv":
        rows = read_rows(inbox, inbox.parent) if inbox.is_file() else []
        return [NewClip(inbox.parent / row.path, row.label, row.group) for row in rows], {}
    clips, misplaced = [], {}
    for path in visible_files(inbox) if inbox.is_dir() else ():
        parts = path.relative_to(inbox).parts
        if len(parts) == 2 and not has_control_character(path.name):
            clips.append(NewClip(path, parts[0], ""))
        else:
            misplaced[path] = f"expected <class>/<clip> below {inbox}"
    return clips, misplaced


def take_in(
    clips: Sequence[NewClip],
    dataset: Dataset,
    folder: Path,
    min_frames: int,
    cache: Path,
    workers: int,
    report: Callable[[Sequence[Path]], Iterable[Path]],
) -> Intake:
    """Looks at every new clip and puts the good ones into the additions of `folder`.

    A clip is refused when its class is unknown, when it does not decode as a whole or has fewer
    than `min_frames` frames, and when it shows the scene of a test video, which would make the test
    worthless. A kill costs the clips of this call at most: they are taken in the next time. `cache`
    is the survey's; `report` may show the progress of the paths that are gone through. The calling
    script needs the usual `if __name__ == "__main__":`, as workers are spawned.
    """
    settled = [clip for clip in clips if time.time() - _changed(clip.path) > SETTLED_SECONDS]
    before = read_additions(folder / CLIPS)
    known = {*dataset.digests.values(), *(row.sha256 for row in before)}
    found: dict[str, NewClip] = {}  # by digest: the same bytes twice are one clip
    for clip, path in zip(settled, report([clip.path for clip in settled]), strict=True):
        found.setdefault(hash_file(path), clip)
    new = {digest: clip for digest, clip in found.items() if digest not in known}
    refused = _refusals(new, dataset, min_frames, cache, workers)
    names = {*dataset.digests, *(row.video for row in before)}
    taken = []
    for digest, clip in new.items():
        if clip.path not in refused:
            video = _free_name(clip, digest, names)
            names.add(video)
            copy_file(clip.path, folder / VIDEOS / video)
            taken.append(Addition(video, clip.group, digest))
    if taken:
        write_additions(folder / CLIPS, [*before, *taken])
    return Intake(
        taken=tuple(taken),
        refused=refused,
        known=len(found) - len(new),
        unsettled=len(clips) - len(settled),
    )


def _refusals(
    new: Mapping[str, NewClip], dataset: Dataset, min_frames: int, cache: Path, workers: int
) -> dict[Path, str]:
    """The clips (by digest) that cannot be taken in, with the reason; cheap checks first."""
    refused: dict[Path, str] = {}
    for check in (
        partial(_of_no_class, dataset=dataset),
        partial(_defective, min_frames=min_frames, workers=workers),
        partial(_tested, dataset=dataset, cache=cache, workers=workers),
    ):
        refused |= dict(check({k: clip for k, clip in new.items() if clip.path not in refused}))
    return refused


def _changed(path: Path) -> float:
    status = path.stat()
    return max(status.st_mtime, status.st_ctime)


def _free_name(clip: NewClip, digest: str, names: set[str]) -> str:
    video = f"{clip.label}/{clip.path.name}"
    if video in names:
        return f"{clip.label}/{clip.path.stem}-{digest[:8]}{clip.path.suffix}"
    return video


def _of_no_class(clips: Mapping[str, NewClip], dataset: Dataset) -> Iterator[tuple[Path, str]]:
    valid = ", ".join(dataset.classes)
    for clip in clips.values():
        if clip.label not in dataset.classes:
            yield clip.path, f"unknown class {clip.label!r}; the dataset has {valid}"


def _defective(
    clips: Mapping[str, NewClip], min_frames: int, workers: int
) -> Iterator[tuple[Path, str]]:
    """The clips that extraction could not use, with the reason."""
    paths = [clip.path for clip in clips.values()]
    check = partial(_defect, min_frames=min_frames)
    for path, answer in run_tasks(check, paths, ["cpu"] * max(workers, 1), _initialise_worker):
        defect = f"the process that looked at it {answer}" if isinstance(answer, Died) else answer
        if defect:
            yield path, defect


def _defect(path: Path, _: str, *, min_frames: int) -> str:
    reader = FrameReader(path, *_LOOKED_AT)
    try:
        for _frame in watched(iter(reader)):
            pass
    except VideoError as error:
        return error.reason
    if reader.num_frames < min_frames:
        return f"{reader.num_frames} frames, expected at least {min_frames}"
    return ""


def _initialise_worker() -> None:
    cv2.setNumThreads(1)
    quiet_decoding()


def _tested(
    clips: Mapping[str, NewClip], dataset: Dataset, cache: Path, workers: int
) -> Iterator[tuple[Path, str]]:
    """The clips that show the scene of a test video, with the reason."""
    if not clips:
        return
    tested = {row.video: dataset.digests[row.video] for row in dataset.test}
    facts = dict(survey(dataset.videos, tested, cache, workers))
    ours = {str(clip.path.resolve()): digest for digest, clip in clips.items()}
    facts |= dict(survey(Path("/"), ours, cache, workers))
    rows = [ListedVideo(path, 0, "", ()) for path in ours]
    hashes = {video: row.hashes for video, row in facts.items()}
    for leak in find_leaks(rows, dataset.test, {**tested, **ours}, hashes):
        yield clips[ours[leak.train]].path, f"shows the scene of the test video {leak.test}"
