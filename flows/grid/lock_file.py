"""dvc.lock: put back when a kill has truncated it, and its entries in the order of `dvc repro`.

DVC rewrites dvc.lock, and the list of who reads and writes what (.dvc/tmp/rwlock), in place. So a
dvc that is killed in that moment leaves them truncated, and from then on every dvc refuses to
start. Both are written under a lock of DVC's: whoever holds it and still finds the file truncated
knows that nobody writes it. `repair` then puts dvc.lock back from the copy that is kept of it, or
from git, or removes it. A cell that is lost by that comes back from DVC's run-cache without
running. The list of readers and writers loses those that have ended (`flows/grid/active.py`).

DVC appends what is new, so a grid leaves the entries in the order in which its cells ended.
`sort_entries` puts them in that of `dvc repro`, whatever has run before: the bytes are those that
`dvc repro` leaves in a workspace that had no dvc.lock.
"""

import logging
import re
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.git.command import git
from flows.grid.active import READERS, READERS_LOCK, drop_ended
from flows.processes.locks import wait_for_lock
from flows.processes.programs import NEVER, ProgramError
from stages.runtime.places import DVC_LOCK, DVC_TMP
from tsn.files import atomic_path, copy_file, file_sha256
from tsn.locks import try_lock

REPO_LOCK = "lock"
COPY = DVC_TMP / "grid-dvc.lock"
SORTED = DVC_TMP / "grid-sorted"  # the digest of the dvc.lock that was last put in order
TRUNCATED_COPY = DVC_TMP / "truncated-dvc.lock"
CONFLICT = re.compile("^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
READ_SECONDS = 10.0  # that dvc may take to write the file
# What dvc says when it meets one of the files truncated: for good, or while it is being written.
TRUNCATED = r"dvc\.lock|RWLock-file|YAML file structure is corrupted"

logger = logging.getLogger(__name__)


def read_lock_file(workspace: Path) -> str:
    """Return the text of dvc.lock, not as it is met half written; empty where there is none."""
    path, deadline = workspace / DVC_LOCK, time.monotonic() + READ_SECONDS
    while path.is_file():
        if is_whole(text := _text(path)):
            return text
        if time.monotonic() > deadline:
            raise ProgramError(f"{path}: truncated; `tsn repro` there puts it right")
        time.sleep(0.1)
    return ""


def write_lock_file(workspace: Path, text: str) -> None:
    """Give a workspace where no dvc runs the dvc.lock of another one, or none if that has none."""
    path = workspace / DVC_LOCK
    path.unlink(missing_ok=True)
    if text:
        with atomic_path(path, durable=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def keep_copy(workspace: Path) -> None:
    """Copy a dvc.lock that is whole, for `repair` to go back to.

    Not while DVC holds its lock, which it may for an hour, to hash frames or to push: an older
    copy is worth less, but nothing is lost with it.
    """
    path = workspace / DVC_LOCK
    with (workspace / DVC_TMP / REPO_LOCK).open("a+") as lock:
        if try_lock(lock) and path.is_file() and is_whole(text := _text(path)):
            with atomic_path(workspace / COPY, durable=True) as temporary:
                temporary.write_text(text, encoding="utf-8")


def repair(workspace: Path, *, stop: threading.Event = NEVER) -> None:
    """Put what is truncated of the two files back; drop the readers and writers that have ended.

    Wait for DVC's locks; StoppedError once `stop` is set. ProgramError for what no kill leaves.
    """
    with dvc_lock(workspace, READERS_LOCK, stop=stop):
        drop_ended(workspace / READERS)
    with dvc_lock(workspace, REPO_LOCK, stop=stop):
        path = workspace / DVC_LOCK
        if not path.is_file() or is_whole(text := _text(path)):
            return
        if CONFLICT.search(text):
            raise ProgramError(
                f"{path}: a merge left both sides in it; take one by `git checkout --ours dvc.lock`"
                " (or --theirs), and run this again"
            )
        copy_file(path, workspace / TRUNCATED_COPY)
        how, before = _text_before(workspace)
        write_lock_file(workspace, before)
        logger.warning("%s: truncated by a kill; it is %s (was: %s)", path, how, TRUNCATED_COPY)


def _text_before(workspace: Path) -> tuple[str, str]:
    """Return where there is an older dvc.lock that is whole, and its text."""
    copy = workspace / COPY
    if copy.is_file() and is_whole(text := _text(copy)):
        return "put back from its copy", text
    with suppress(ProgramError, OSError):
        if is_whole(text := git(workspace, "show", f"HEAD:./{DVC_LOCK}") + "\n"):
            return "that of the last commit again", text
    return "removed, as there is no copy", ""


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def is_whole(text: str) -> bool:
    """Return whether a dvc.lock is one that DVC has written to its end."""
    try:
        content = YAML(typ="safe").load(text)
        return text.endswith("\n") and all(
            "cmd" in entry
            and all(len(row) > 1 for k in ("deps", "outs") for row in entry.get(k, []))
            for entry in content["stages"].values()
        )
    except (YAMLError, KeyError, TypeError, AttributeError):
        return False


def is_sorted(workspace: Path) -> bool:
    """Return whether dvc.lock is as `sort_entries` has left it, or is not there."""
    path, noted = workspace / DVC_LOCK, workspace / SORTED
    return not path.is_file() or (noted.is_file() and noted.read_text() == file_sha256(path))


def sort_entries(workspace: Path, order: Sequence[str], *, stop: threading.Event = NEVER) -> None:
    """Put the entries of dvc.lock into an order of cells; any others last, in the order they have.

    Under DVC's own lock, which it waits for (StoppedError once `stop` is set), atomically, and not
    one byte is changed when the order is right. The file is written as DVC writes it.
    """
    path, rank = workspace / DVC_LOCK, {name: number for number, name in enumerate(order)}
    with dvc_lock(workspace, REPO_LOCK, stop=stop):
        if not path.is_file():
            return
        yaml = YAML()
        yaml.default_flow_style = False
        content = yaml.load(path)
        names = list(content["stages"])
        ordered = sorted(names, key=lambda name: rank.get(name, len(rank)))
        if ordered != names:
            for name in ordered:
                content["stages"].move_to_end(name)
            with atomic_path(path, durable=True) as temporary:
                yaml.dump(content, temporary)
        with atomic_path(workspace / SORTED) as temporary:
            temporary.write_text(file_sha256(path))


def dvc_lock(
    workspace: Path, name: str, *, stop: threading.Event = NEVER
) -> AbstractContextManager[None]:
    """Hold one of DVC's own locks, waited for as `dvc --wait-for-lock` does: however long.

    StoppedError once `stop` is set.
    """
    return wait_for_lock(workspace / DVC_TMP / name, stop=stop, sign=False)
