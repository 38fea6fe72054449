"""Files that may not be read, for root, too, who may read all."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def make_unreadable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the permission to read a file or folder; of root, who does not need it, by hand."""
    path.chmod(0)
    if os.geteuid():
        return
    opened, listed = os.open, Path.iterdir

    def refuse(asked: object) -> None:
        if asked == path:
            raise PermissionError(13, "Permission denied", str(path))

    def open_(asked: Any, *rest: Any, **more: Any) -> int:
        refuse(asked)
        return opened(asked, *rest, **more)

    def iterdir(asked: Path) -> Iterator[Path]:
        refuse(asked)
        return iter(listed(asked))

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(Path, "iterdir", iterdir)
