"""What a kill leaves torn: dvc.lock, and DVC's list of who reads and writes what.

DVC rewrites both in place, so a dvc that is killed in that moment leaves them cut, and from then on
every dvc refuses to start. Both are written under a lock of DVC's: whoever holds it and still finds
the file torn knows that nobody is at it. `mend` puts the list back to empty, as DVC itself drops
what dead processes left, and dvc.lock to what is whole of it and, for the rest, to the copy that a
grid keeps. A cell that is lost by that comes back from DVC's run-cache without running.
"""

import fcntl
import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.programs import ProgramError
from tsn.atomic import atomic_path, copy_file

LOCK_FILE = Path("dvc.lock")
DVC_TMP = Path(".dvc/tmp")
REPO_LOCK = "lock"
READERS, READERS_LOCK = "rwlock", "rwlock.lock"
COPY = DVC_TMP / "grid-dvc.lock"
TORN_ASIDE = DVC_TMP / "torn-dvc.lock"
LOCK_SECONDS = 60.0

ENTRY = re.compile(r"^  (?=\S)", re.MULTILINE)
# What dvc says when it meets one of the files torn: for good, or while it is being written.
TORN = re.compile(r"dvc\.lock|RWLock-file|YAML file structure is corrupted")

logger = logging.getLogger(__name__)


def keep_copy(workspace: Path) -> None:
    """Copies a dvc.lock that is whole, for `mend` to go back to."""
    path, copy = workspace / LOCK_FILE, workspace / COPY
    with dvc_lock(workspace, REPO_LOCK):
        if path.is_file() and is_whole(path.read_text(encoding="utf-8")):
            copy_file(path, copy)


def mend(workspace: Path) -> None:
    """Makes the torn ones of the two files whole again; does nothing to others."""
    with dvc_lock(workspace, READERS_LOCK):
        readers = workspace / DVC_TMP / READERS
        if readers.is_file() and not _is_json(readers.read_text(encoding="utf-8")):
            logger.warning("%s: cut by a kill; it is put back to empty", readers)
            with atomic_path(readers) as temporary:
                temporary.write_text("{}")
    with dvc_lock(workspace, REPO_LOCK):
        path, copy = workspace / LOCK_FILE, workspace / COPY
        text = path.read_text(encoding="utf-8") if path.is_file() else None
        if text is None or is_whole(text):
            return
        copy_file(path, workspace / TORN_ASIDE)
        mended = put_together(text, copy.read_text(encoding="utf-8") if copy.is_file() else "")
        logger.warning("%s: cut by a kill; mended, as it was it is %s", path, TORN_ASIDE)
        if not is_whole(mended):  # nothing of it can be used: DVC's run-cache still knows
            path.unlink()
            return
        with atomic_path(path) as temporary:
            temporary.write_text(mended, encoding="utf-8")


def put_together(torn: str, copy: str) -> str:
    """A dvc.lock of the entries before the cut, and of those that only an older copy has."""
    head, *blocks = ENTRY.split(torn)
    copy_head, *copied = ENTRY.split(copy)
    entries = {_name(block): block for block in copied}
    entries |= {_name(block): block for block in blocks[:-1]}  # the last one is cut
    return (copy_head or head) + "".join(f"  {block}" for block in entries.values())


def is_whole(text: str) -> bool:
    """Whether a dvc.lock is one that DVC has written to its end."""
    try:
        content = YAML(typ="safe").load(text)
        return text.endswith("\n") and all(
            "cmd" in entry
            and all(len(row) > 1 for k in ("deps", "outs") for row in entry.get(k, []))
            for entry in content["stages"].values()
        )
    except (YAMLError, KeyError, TypeError, AttributeError):
        return False


def _name(block: str) -> str:
    return block.partition("\n")[0]


def _is_json(text: str) -> bool:
    with suppress(ValueError):
        return isinstance(json.loads(text), dict)
    return False


@contextmanager
def dvc_lock(workspace: Path, name: str) -> Iterator[None]:
    """One of DVC's own locks; ProgramError when it is not free within a minute."""
    deadline = time.monotonic() + LOCK_SECONDS
    with (workspace / DVC_TMP / name).open("a+") as lock:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise ProgramError(f"{lock.name}: another dvc command holds it for a minute")
            time.sleep(0.1)
        yield
