"""Clips that came to a dataset after its lists were made: they are trained on, never tested on.

So a recogniser with them and one without meet on the same test lists. A dataset's additions are a
folder: `videos/<class>/<clip>`, and `clips.csv` with their groups and digests.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from tsn.files import link_file, read_csv, write_csv
from tsn.lists import ListedVideo, SplitError, SplitLists
from tsn.names import name_problem

CLIPS, VIDEOS = "clips.csv", "videos"
ADDITIONS = "additions.csv"  # what `clips.csv` is called among a dataset's lists


@dataclass(frozen=True)
class Addition:
    """A clip `<class>/<file name>`; `group` is who or where, "" where only its name may say."""

    video: str
    group: str
    sha256: str


COLUMNS = tuple(field.name for field in fields(Addition))


def read_additions(path: Path) -> list[Addition]:
    """Return the additions that `write_additions` wrote; an empty list if there is no such file.

    They come with a commit, perhaps another's: SplitError for a video that is no `<class>/<clip>`.
    """
    if not path.is_file():
        return []
    additions = [Addition(**row) for row in read_csv(path, COLUMNS)]
    for number, row in enumerate(additions, 2):
        parts = row.video.split("/")
        if len(parts) != 2 or not all(map(_is_name, parts)):
            raise SplitError(f"{path} row {number}: {row.video!r}, expected <class>/<clip>")
    return additions


def _is_name(part: str) -> bool:
    return bool(part) and not part.startswith(".") and not name_problem(part)


def write_additions(path: Path, additions: Iterable[Addition]) -> None:
    """Write the additions, a line each, sorted."""
    write_csv(path, COLUMNS, (astuple(row) for row in sorted(additions, key=lambda a: a.video)))


def fetch_additions(folder: Path, videos: Path, lists: Path, known: Set[str]) -> Iterator[str]:
    """Put a dataset's additions among its videos and lists, and yield each video id.

    Those that have come into the dataset's source meanwhile, whose SHA-256 are `known`, are left
    to it. SplitError for one whose name another video has, FileNotFoundError for one that is not
    there.
    """
    additions = [row for row in read_additions(folder / CLIPS) if row.sha256 not in known]
    for row in additions:
        source = folder / VIDEOS / row.video
        if not source.is_file():
            raise FileNotFoundError(f"{source}: not there; fetch it with `dvc pull {folder}.dvc`")
        if (videos / row.video).exists():
            raise SplitError(f"{folder / CLIPS}: the dataset has another {row.video}")
        link_file(source, videos / row.video)
        yield row.video
    if additions:
        write_additions(lists / ADDITIONS, additions)


def merge_additions(source: Path, target: Path) -> int:
    """Put the clips of one folder of additions into another; return how many that one lacked.

    What a kill leaves half done is done by another call.
    """
    there = read_additions(target / CLIPS)
    known = {row.sha256 for row in there}
    new = [row for row in read_additions(source / CLIPS) if row.sha256 not in known]
    for row in new:
        link_file(source / VIDEOS / row.video, target / VIDEOS / row.video)
    if new:
        write_additions(target / CLIPS, [*there, *new])
    return len(new)


def train_on(lists: SplitLists, additions: Sequence[ListedVideo]) -> SplitLists:
    """Return the lists with the additions trained on, but where a split tests their group, or it is
    held back for promotion."""
    train = {}
    for split, listed in lists.train.items():
        tested = {(row.label, row.group) for row in (*lists.test[split], *lists.promotion)}
        new = [row for row in additions if (row.label, row.group) not in tested]
        train[split] = (*listed, *new)
    return replace(lists, train=train)
