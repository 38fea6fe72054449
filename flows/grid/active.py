"""Who runs in a workspace: one `tsn repro` or grid at a time, and no other dvc beside it.

DVC notes in .dvc/tmp/rwlock who reads and writes what. It drops those whose process is gone, but
not those whose number has become another program's, as after a reboot: `drop_ended` does.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from flows.processes.holders import describe, is_running
from flows.processes.locks import lock_or_refuse
from flows.processes.programs import ProgramError
from stages.runtime.places import DVC_TMP
from tsn.files import atomic_path

READERS, READERS_LOCK = DVC_TMP / "rwlock", "rwlock.lock"
RUN_LOCK = DVC_TMP / "grid.lock"
# How long another run, or what a killed one left, may take to end before it is an error.
BUSY_SECONDS = 20.0
POLL_SECONDS = 0.4
logger = logging.getLogger(__name__)


class BusyError(ProgramError):
    """Another run is active in the workspace."""

    def __init__(self, workspace: Path, pid: int) -> None:
        super().__init__(
            f"another run is active in {workspace}: {describe(pid)}. Wait for it, or stop it"
        )


def only_run(workspace: Path) -> AbstractContextManager[None]:
    """Be the only `tsn repro` or grid of a workspace; ProgramError says who is it already."""
    return lock_or_refuse(workspace / RUN_LOCK, f"another run is active in {workspace.resolve()}")


def wait_for_others(workspace: Path) -> None:
    """Return when no dvc runs a stage in the workspace; BusyError says who does all the time."""
    deadline, told = time.monotonic() + BUSY_SECONDS, False
    while pid := next(_pids(_notes(workspace / READERS)), None):
        if time.monotonic() > deadline:
            raise BusyError(workspace, pid)
        if not told:
            logger.info("waiting for %s", describe(pid))
        told = True
        time.sleep(POLL_SECONDS)


def drop_ended(path: Path) -> None:
    """Drop readers and writers that have ended, or all where a kill has truncated the list.

    To be called under DVC's lock of the list.
    """
    if not path.is_file():
        return
    before, notes = path.read_bytes(), _notes(path)
    if notes is None:
        logger.warning("%s: truncated by a kill; it is emptied", path)
    after = json.dumps(notes or {})
    if notes is None or json.loads(before) != notes:
        with atomic_path(path, durable=True) as temporary:
            temporary.write_text(after, encoding="utf-8")


def _notes(path: Path) -> dict[str, Any] | None:
    """Return the list without those that have ended; None where it is truncated."""
    try:
        noted = path.stat().st_mtime
        content = json.loads(path.read_bytes())
        unknown = content.keys() - {"read", "write"}
        reads = {
            where: [row for row in rows if _runs(row, noted)]
            for where, rows in content.get("read", {}).items()
        }
        writes = {w: row for w, row in content.get("write", {}).items() if _runs(row, noted)}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    kept = {"write": writes, "read": {where: rows for where, rows in reads.items() if rows}}
    return None if unknown else {kind: rows for kind, rows in kept.items() if kind in content}


def _runs(row: Mapping[str, Any], noted: float) -> bool:
    return is_running(int(row["pid"]), str(row["cmd"]), noted)


def _pids(notes: dict[str, Any] | None) -> Iterator[int]:
    for row in (notes or {}).get("write", {}).values():
        yield int(row["pid"])
    for rows in (notes or {}).get("read", {}).values():
        yield from (int(row["pid"]) for row in rows)
