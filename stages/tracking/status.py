"""How far the running stage is: a small file that whoever started it can read.

`.tsn/status/<cell>.json`, by the name that DVC gives the stage; a stage started by hand has none.
No result depends on it: what cannot be written is left out.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from stages.runtime.places import STATUS
from tsn.files import write_json


def report(**values: object) -> None:
    """Add to what is known of the running stage: done, total, loss, rate, link."""
    cell = os.environ.get("DVC_STAGE")
    if cell is None:
        return
    known = read_status(Path(), cell)
    with suppress(OSError):
        write_json(status_path(Path(), cell), {**known, **values})


def read_status(workspace: Path, cell: str) -> Mapping[str, object]:
    """Return what a cell last told; empty when nothing."""
    with suppress(OSError, ValueError):
        state = json.loads(status_path(workspace, cell).read_text(encoding="utf-8"))
        if isinstance(state, dict):
            return state
    return {}


def status_path(workspace: Path, cell: str) -> Path:
    """Return where the status of a cell lies."""
    return workspace / STATUS / f"{file_name(cell)}.json"


def file_name(cell: str) -> str:
    """Return the name of a cell's files: one of a dvc.yaml further down has slashes."""
    return cell.replace("/", "_")
