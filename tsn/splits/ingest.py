"""New labelled clips on their way into a dataset: found, looked at, taken in or refused.

An inbox is a folder of `<class>/<clip>`, or a CSV file of paths and labels
(`tsn.sources.csv_file`). Nothing in it is moved or changed: what was taken in is known by its
bytes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tsn.files import copy_file, file_sha256
from tsn.lists import ListedVideo
from tsn.names import LONGEST, folded, normal, same_name
from tsn.sources.additions import CLIPS, VIDEOS, Addition, read_additions, write_additions
from tsn.sources.csv_file import read_rows
from tsn.sources.folder import EMPTY, SourceError, file_problem, look_through, own_problem
from tsn.splits.leakage import find_leaks
from tsn.splits.survey import Facts

# Gives the videos below a folder, by their digests, with their facts.
Survey = Callable[[Path, Mapping[str, str]], Iterator[tuple[str, Facts]]]
SETTLED_SECONDS = 10.0  # a file changed since then may still be being written


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """Where new clips are put: a folder of `<class>/<clip>`, or a CSV file, its paths relative to
    the folder it is in."""

    inbox: str


@dataclass(frozen=True)
class NewClip:
    """A file of the inbox that is said to be of a class; `group` is "" where its name may say.

    Links at `path` are not followed out of `within`; None where a CSV file names a file elsewhere.
    """

    path: Path
    label: str
    group: str
    within: Path | None

    def find_problem(self) -> str:
        """Return why the file cannot be taken now, "" if it can: it may have changed."""
        return file_problem(self.path, self.within)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a dataset is before clips are taken in.

    digests: SHA-256 of every video it has. train, test: its training and test videos of all
    splits, each once, whose files lie below `videos`.
    """

    videos: Path
    classes: tuple[str, ...]
    digests: Mapping[str, str]
    train: Sequence[ListedVideo]
    test: Sequence[ListedVideo]


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """`taken` as new additions; `refused` with the reasons; `known` are of bytes that the dataset
    has, `unsettled` may still be being written."""

    taken: tuple[Addition, ...]
    refused: Mapping[Path, str]
    known: int
    unsettled: int


def find_clips(inbox: Path) -> tuple[list[NewClip], dict[Path, str]]:
    """Return the clips of an inbox, and the files that cannot be one of a class, with the reason.

    A link that leads out of the inbox is refused: who may put files there need not be who may read
    this machine's. SourceError for an inbox that is not there, and for a CSV file that cannot be
    read as one.
    """
    if inbox.suffix.lower() == ".csv":
        root = inbox.parent
        rows, problems = read_rows(inbox, root, within=root)
        problems |= {row.number: row.problem for row in rows if row.problem}
        clips = [
            NewClip(root / row.path, row.label, row.group, root if row.is_inside else None)
            for row in rows
            if not row.problem
        ]
        told = {inbox.with_name(f"{inbox.name}:{n}"): problems[n] for n in sorted(problems)}
        return clips, told
    if not inbox.is_dir():
        raise SourceError(f"{inbox}: no such folder; make it, or set `ingest.inbox` in the recipe")
    clips, misplaced = [], {}
    for name, problem in look_through(inbox, within=inbox):
        if not problem:
            clips.append(NewClip(inbox / name, name.split("/")[0], "", inbox))
        elif problem != EMPTY:  # a class's folder may wait for clips
            misplaced[inbox / name] = problem
    return clips, misplaced


def ingest(
    clips: Sequence[NewClip],
    dataset: Dataset,
    before: Sequence[Addition],
    folder: Path,
    min_frames: int,
    look: Survey,
    report: Callable[[Sequence[Path]], Iterable[Path]],
) -> Ingested:
    """Look at every new clip and put the good ones into the additions of `folder`.

    A clip is refused when its class is unknown or not the one that its bytes have already, when it
    does not decode as a whole or has fewer than `min_frames` frames, and when it shows the scene of
    a test video, which would make the test worthless. `before` was taken in earlier, wherever it
    lies. A kill costs the clips of this call at most: they are taken in the next time. `look` is
    the survey; `report` may show the progress of the paths that are gone through.
    """
    settled = [
        replace(clip, label=same_name(clip.label, dataset.classes) or clip.label)
        for clip in clips
        if _is_settled(clip.path)
    ]
    there = read_additions(folder / CLIPS)
    known = {digest: video for video, digest in dataset.digests.items()}
    known |= {row.sha256: row.video for row in (*before, *there)}
    found, refused = _by_digest(settled, report)
    refused |= _contradictory(found, known)
    new = {
        digest: same[0]
        for digest, same in found.items()
        if digest not in known and same[0].path not in refused
    }
    refused |= _refusals(new, dataset, min_frames, look)
    names = {*dataset.digests, *(row.video for row in (*before, *there))}
    good = {digest: clip for digest, clip in new.items() if clip.path not in refused}
    taken, lost = _take(good, folder / VIDEOS, names)
    refused |= lost
    if taken:
        write_additions(folder / CLIPS, [*there, *taken])
    return Ingested(
        taken=tuple(taken),
        refused=refused,
        known=sum(digest in known for digest in found),
        unsettled=len(clips) - len(settled),
    )


def _take(
    clips: Mapping[str, NewClip], videos: Path, names: set[str]
) -> tuple[list[Addition], dict[Path, str]]:
    """Copy clips, by their digests, into a folder under names that are free; these are added.

    Return what was taken, and why others cannot be any more.
    """
    taken, lost = [], {}
    for digest, clip in clips.items():
        video = _free_name(clip, digest, names)
        if problem := _copy_problem(clip, digest, videos / video):
            lost[clip.path] = problem
        else:
            names.add(video)
            taken.append(Addition(video, clip.group, digest))
    return taken, lost


def _copy_problem(clip: NewClip, digest: str, target: Path) -> str:
    """Copy a clip that has that digest; return "", or why it cannot be copied."""
    if problem := clip.find_problem():
        return problem
    try:
        copy_file(clip.path, target)
    except OSError:
        if problem := clip.find_problem():
            return problem
        raise  # the target's
    if file_sha256(target) == digest:
        return ""
    target.unlink()  # it may be any file of this machine
    return "changed while it was looked at; leave it as it is until it is taken in"


def _by_digest(
    clips: Sequence[NewClip], report: Callable[[Sequence[Path]], Iterable[Path]]
) -> tuple[dict[str, list[NewClip]], dict[Path, str]]:
    """Return the clips by the SHA-256 of their bytes, and why others cannot be read."""
    found: dict[str, list[NewClip]] = {}
    refused: dict[Path, str] = {}
    for clip, path in zip(clips, report([clip.path for clip in clips]), strict=True):
        try:
            if problem := clip.find_problem():
                refused[path] = problem
            else:
                found.setdefault(file_sha256(path), []).append(clip)
        except OSError as error:
            refused[path] = own_problem(path, error)
    return found, refused


def _contradictory(
    found: Mapping[str, Sequence[NewClip]], known: Mapping[str, str]
) -> Iterator[tuple[Path, str]]:
    """Yield the clips whose bytes are said to be of several classes, here or in the dataset."""
    for digest, same in found.items():
        labels = {normal(clip.label) for clip in same}
        if digest in known:
            labels.add(normal(known[digest].split("/")[0]))
        if len(labels) > 1:
            where = f"the dataset has it as {known[digest]}" if digest in known else "in the inbox"
            for clip in same:
                yield clip.path, f"the same bytes under {', '.join(sorted(labels))} ({where})"


def _refusals(
    new: Mapping[str, NewClip], dataset: Dataset, min_frames: int, look: Survey
) -> dict[Path, str]:
    """Return the clips (by digest) that cannot be taken in, with the reason."""
    if not new:
        return {}
    facts = _look_at(new, dataset, look)
    refused: dict[Path, str] = {}
    for check in (
        partial(_of_no_class, dataset=dataset),
        partial(_defective, facts=facts, min_frames=min_frames),
        partial(_tested, facts=facts, dataset=dataset),
    ):
        refused |= dict(check({k: clip for k, clip in new.items() if clip.path not in refused}))
    return refused


def _look_at(new: Mapping[str, NewClip], dataset: Dataset, look: Survey) -> dict[str, Facts]:
    """Return the facts of new clips and of the listed videos, by digest."""
    listed = {row.video: dataset.digests[row.video] for row in (*dataset.train, *dataset.test)}
    paths = {str(clip.path.resolve()): digest for digest, clip in new.items()}
    known = {listed[video]: row for video, row in look(dataset.videos, listed)}
    return known | {paths[path]: row for path, row in look(Path("/"), paths)}


def _is_settled(path: Path) -> bool:
    """Return whether a file is not just being written; its times may be a camera's. One that
    cannot be asked is refused when it is read."""
    try:
        return time.time() - path.stat().st_ctime > SETTLED_SECONDS
    except OSError as error:
        return bool(own_problem(path, error))


def _free_name(clip: NewClip, digest: str, names: set[str]) -> str:
    video = f"{clip.label}/{clip.path.name}"
    if video not in names:
        return video
    ending = f"-{digest[:8]}{clip.path.suffix}"
    room = max(LONGEST - len(ending.encode()), 0)
    stem = clip.path.stem.encode()[:room].decode(errors="ignore")
    return f"{clip.label}/{stem}{ending.encode()[:LONGEST].decode(errors='ignore')}"


def _of_no_class(clips: Mapping[str, NewClip], dataset: Dataset) -> Iterator[tuple[Path, str]]:
    valid = ", ".join(dataset.classes)
    for clip in clips.values():
        if clip.label not in dataset.classes:
            near = [name for name in dataset.classes if folded(name) == folded(clip.label)]
            meant = f"; perhaps {near[0]!r} is meant" if near else ""
            yield clip.path, f"unknown class {clip.label!r}; the dataset has {valid}{meant}"


def _defective(
    clips: Mapping[str, NewClip], facts: Mapping[str, Facts], min_frames: int
) -> Iterator[tuple[Path, str]]:
    """Yield the clips that extraction could not use, with the reason."""
    for digest, clip in clips.items():
        seen = facts[digest]
        if seen.defect:
            yield clip.path, seen.defect
        elif seen.frames < min_frames:
            yield clip.path, f"{seen.frames} frames, expected at least {min_frames}"


def _tested(
    clips: Mapping[str, NewClip], facts: Mapping[str, Facts], dataset: Dataset
) -> Iterator[tuple[Path, str]]:
    """Yield the clips that show the scene of a test video, with the reason."""
    ours = {str(clip.path): digest for digest, clip in clips.items()}
    new = [
        ListedVideo(path, dataset.classes.index(clips[digest].label), path, ())
        for path, digest in ours.items()
    ]
    digests = {**dataset.digests, **ours}
    hashes = {video: facts[digest].hashes for video, digest in digests.items() if digest in facts}
    for leak in find_leaks([*dataset.train, *new], dataset.test, digests, hashes).leaks:
        if leak.train in ours:
            yield clips[ours[leak.train]].path, f"shows the scene of the test video {leak.test}"
