"""What a kill leaves torn: dvc.lock, and DVC's list of who reads and writes what.

DVC rewrites both in place, so a dvc that is killed in that moment leaves them cut, and from then on
every dvc refuses to start. Both are written under a lock of DVC's: whoever holds it and still finds
the file torn knows that nobody is at it. `mend` puts the list back to empty, as DVC itself drops
what dead processes left, and dvc.lock to what is whole of it and, for the rest, to the copy that a
grid keeps. A cell that is lost by that comes back from DVC's run-cache without running.
"""

import json
import logging
import re
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.processes.locks import one_after_another, try_lock
from flows.processes.programs import NEVER
from tsn.files import atomic_path, copy_file

LOCK_FILE = Path("dvc.lock")
DVC_TMP = Path(".dvc/tmp")
REPO_LOCK = "lock"
READERS, READERS_LOCK = "rwlock", "rwlock.lock"
COPY = DVC_TMP / "grid-dvc.lock"
TORN_ASIDE = DVC_TMP / "torn-dvc.lock"

ENTRY = re.compile(r"^  (?=\S)", re.MULTILINE)
# What dvc says when it meets one of the files torn: for good, or while it is being written.
TORN = re.compile(r"dvc\.lock|RWLock-file|YAML file structure is corrupted")

logger = logging.getLogger(__name__)


def keep_copy(workspace: Path) -> None:
    """Copies a dvc.lock that is whole, for `mend` to go back to.

    Not while DVC holds its lock, which it may for an hour, to hash frames or to push: an older
    copy is worth less, but nothing is lost with it.
    """
    path, copy = workspace / LOCK_FILE, workspace / COPY
    with (workspace / DVC_TMP / REPO_LOCK).open("a+") as lock:
        if not try_lock(lock):
            return
        if path.is_file() and is_whole(path.read_text(encoding="utf-8")):
            copy_file(path, copy)


def mend(workspace: Path, *, stop: threading.Event = NEVER) -> None:
    """Makes the torn ones of the two files whole again; does nothing to others.

    Waits for DVC's locks; StoppedError once `stop` is set.
    """
    with dvc_lock(workspace, READERS_LOCK, stop=stop):
        readers = workspace / DVC_TMP / READERS
        if readers.is_file() and not _is_json(readers.read_text(encoding="utf-8")):
            logger.warning("%s: cut by a kill; it is put back to empty", readers)
            with atomic_path(readers) as temporary:
                temporary.write_text("{}")
    with dvc_lock(workspace, REPO_LOCK, stop=stop):
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


def dvc_lock(
    workspace: Path, name: str, *, stop: threading.Event = NEVER
) -> AbstractContextManager[None]:
    """One of DVC's own locks, waited for as `dvc --wait-for-lock` does: however long it takes.

    StoppedError once `stop` is set.
    """
    return one_after_another(workspace / DVC_TMP / name, stop=stop)
