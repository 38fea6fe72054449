"""How a result was made: what only the process that made it knows, kept for its MLflow run.

A stage leaves `.tsn/made/<fingerprint>.json` in the project's folder, also where it runs in a copy.
`stages.operate.sync` finds it by the fingerprint. A result that DVC restored on another machine has
none.
"""

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from stages.runtime.computer import describe_computer
from stages.runtime.places import MADE, PROJECT_ROOT
from stages.tracking import store
from tsn.files import write_json
from tsn.records import record

CODE_PATHS = ("tsn", "stages", "flows", "dvc.yaml", "params.yaml", "recipes")
# What git says where there is nothing to say which code it is: all is well with it.
NO_COMMIT = re.compile("not a git repository|did not match any file|unknown revision|bad revision")
logger = logging.getLogger(__name__)
_BEGAN = time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Made:
    """tags: which code made a result. began, ended: milliseconds since 1970. params: what its run
    shows beside the parameters that the stage's own section holds. computer: what it ran on."""

    tags: dict[str, str]
    began: int | None = None
    ended: int | None = None
    params: dict[str, Any] = field(default_factory=dict)
    computer: dict[str, str] = field(default_factory=dict)


RESTORED = Made(tags={"restored": "true"})


def made_now() -> Made:
    """Return what is known of a result that this process is making."""
    return Made(tags=code_tags(), began=_BEGAN)


def write_note(fingerprint: str, params: Mapping[str, Any] | None = None) -> None:
    """Keep how a result was made. Nothing depends on it: what cannot be written is left out."""
    ended = time.time_ns() // 1_000_000
    known = replace(made_now(), ended=ended, computer=describe_computer())
    note = replace(known, params=dict(params or {}))
    with suppress(OSError):
        write_json(_path(fingerprint), asdict(note))


def read_note(fingerprint: str) -> Made:
    """Return how a result was made; RESTORED where this machine does not know."""
    with suppress(OSError, ValueError):
        return record(json.loads(_path(fingerprint).read_text(encoding="utf-8")), Made, "")
    return RESTORED


@cache
def code_tags() -> dict[str, str]:
    """Return which code runs: source file, git commit, and whether what shapes results differs.

    As it was when this process first asked: a training asks before it begins.
    """
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": Path(sys.argv[0]).name}
    head = _git("rev-parse", "HEAD") if _is_repository() else None
    if head is not None:
        # dvc.lock and the tracked metrics change while a pipeline runs: they are not the code.
        changed = _git("status", "--porcelain", "--", *CODE_PATHS)
        tags |= {"git.commit": head, "git.dirty": "true" if changed else "false"}
        tags["mlflow.source.git.commit"] = head
    return tags


def _path(fingerprint: str) -> Path:
    return store.checkout_of(Path.cwd()) / MADE / f"{fingerprint}.json"


def _is_repository() -> bool:
    """Return whether git knows the project; not where a zip was unpacked in another repository."""
    return _git("ls-files", "--error-unmatch", "dvc.yaml") is not None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=PROJECT_ROOT,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode == 0:
        return done.stdout.strip()
    if not NO_COMMIT.search(done.stderr):
        logger.warning("git does not say which code made this result: %s", done.stderr.strip())
    return None
