"""Which entries of dvc.lock were logged to MLflow from this folder already: they cost no more.

To ask MLflow takes seconds, and so does loading the stages that know what to ask for.
`.tsn/logged.json` holds the digest of each logged entry, and of which store that is true.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

from stages.runtime.places import LOGGED
from stages.tracking import store
from tsn.files import json_sha256, write_json

Entries = Mapping[str, Mapping[str, Any]]  # of dvc.lock, by the name of the stage


def not_logged(entries: Entries) -> dict[str, Mapping[str, Any]]:
    """Return the entries that are not known to be logged."""
    known = _read()
    return {name: entry for name, entry in entries.items() if known.get(name) != digest(entry)}


def remember(entries: Entries) -> None:
    """Keep that these entries are logged. Nothing depends on it: they would be looked at again."""
    if (where := _store()) is None:
        return
    known = _read() | {name: digest(entry) for name, entry in entries.items()}
    with suppress(OSError):
        write_json(LOGGED, {"store": where, "entries": known})


def digest(entry: Mapping[str, Any]) -> str:
    """Return the digest of an entry: of its command, what it read, and what it wrote."""
    return json_sha256(entry)


def _read() -> dict[str, str]:
    with suppress(OSError, ValueError, AttributeError, KeyError):
        content = json.loads(LOGGED.read_text(encoding="utf-8"))
        if content["store"] == _store() is not None:
            return dict(content["entries"])
    return {}


def _store() -> str | None:
    """Return which store is in use: its address, and when it was made, as a file may be new.

    None for a file that cannot say that.
    """
    uri = store.shown_uri()
    database = store.sqlite_file(uri)
    if database is None:
        return uri
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
        with closing(connection):
            (made,) = connection.execute("SELECT min(creation_time) FROM experiments").fetchone()
        return f"{uri} {made}"
    return None
