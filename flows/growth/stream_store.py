"""Entries of the stream store that no manifest names: those of settings and videos of before.

What an extraction has finished is named when all of it is done, maybe in a workspace that is not
seen from here. So nothing is removed while one runs, and nothing young.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from flows.growth.findings import Finding, all_bytes, size
from stages.runtime.places import DATA, STORE
from tsn.files import read_csv
from tsn.locks import try_lock
from tsn.streams.archives import MANIFEST
from tsn.streams.store import LOCK, StoreEntry, remove_entry, stored_entries

DAYS_BEFORE_OTHERS = 1.0  # at least, of a store that others may be using now


def store_finding(
    root: Path, others: Sequence[Path], leaving: Sequence[Path], days: float
) -> Finding:
    """Return the finding of the store of a checkout.

    others: workspaces whose manifests count, too. leaving: files that go with this call: an entry
    that any other name keeps on the disk would free nothing, and may be in use. Raises ValueError
    for a manifest that is damaged.
    """
    store = (root / STORE).resolve()
    named = {key for folder in (root, *others) for key in named_keys(folder)}
    unnamed = [entry for entry in stored_entries(store) if entry.key not in named]
    if not store.is_relative_to(root.resolve()):
        days = max(days, DAYS_BEFORE_OTHERS)
    before = time.time() - days * 86400
    old = [entry for entry in unnamed if entry.used <= before]
    gone = Counter(_inode(path) for path in leaving if path.exists())
    free = [entry for entry in old if _is_last(entry, gone)]
    kept = []
    if young := [entry for entry in unnamed if entry not in old]:
        kept.append(
            f"{_told(young)} used within {days:g} days (--days): an extraction may want them"
        )
    if linked := [entry for entry in old if entry not in free]:
        kept.append(f"{_told(linked)} that DVC's cache or an output holds, too: nothing is freed")
    return Finding(
        what="stream store",
        text=f"{len(free)} entries that no manifest names",
        paths=tuple(path for entry in free for path in entry.files),
        free=partial(_remove, store, free) if free else None,
        kept="; ".join(kept),
    )


def named_keys(folder: Path) -> Iterator[str]:
    """Yield the keys that the manifests of a workspace name."""
    for manifest in (folder / DATA).glob(f"*/*/{MANIFEST}"):
        yield from (row["key"] for row in read_csv(manifest, ("key",)))


def _is_last(entry: StoreEntry, gone: Mapping[tuple[int, int], int]) -> bool:
    """Return whether the files of an entry have no other name that stays.

    gone: how many names of a file leave.
    """
    return all(path.lstat().st_nlink - 1 <= gone.get(_inode(path), 0) for path in entry.files)


def _inode(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _told(entries: Sequence[StoreEntry]) -> str:
    return f"{len(entries)} ({size(all_bytes(p for entry in entries for p in entry.files))})"


def _remove(store: Path, entries: Sequence[StoreEntry]) -> None:
    with (store / LOCK).open("a") as lock:
        if not try_lock(lock):
            raise OSError(f"{store}: an extraction writes there; wait for its end")
        for entry in entries:
            remove_entry(entry)
