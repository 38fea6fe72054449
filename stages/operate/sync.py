"""sync: log finished results to MLflow, from their files, and register finished recognisers.

It logs what the pipeline made, what DVC restored, and what was made while MLflow was away. Which
stages are finished, and where their files lie, is read from dvc.lock. What is logged already stays.
"""

import hashlib
import logging
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages import baseline, fuse, package, report, score, train
from stages.runtime import command, params
from stages.runtime.options import StageOptions, UsageError, option, parse
from stages.runtime.places import DVC_LOCK
from stages.tracking import runs, store
from tsn.records import RecordError

TRACKED = (baseline, train, score, fuse, report, package)
logger = logging.getLogger(__name__)


READ_ATTEMPTS = 5
READ_PAUSE_SECONDS = 0.4


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    also: str | None = option(
        "the command of a stage that is finished, but not in dvc.lock yet", default=None
    )


def main(options: Options) -> None:
    datasets = params.section(params.load(), "datasets", tuple[str, ...])
    stages = read_lock_file()
    finished = {name: entry["cmd"] for name, entry in stages.items() if is_current(entry)}
    if options.also is not None:
        finished[os.environ.get("DVC_STAGE", "")] = options.also
    if not finished or not runs.is_reachable():
        return
    with store.hold_sync_lock():
        log(finished, datasets)


def log(finished: Mapping[str, str], datasets: Sequence[str]) -> None:
    """Log finished stages, given by their commands, in the order in which they build on others."""
    for stage in TRACKED:
        for name, cmd in finished.items():
            words = shlex.split(cmd)
            if words[:3] != ["python", "-m", stage.__name__]:
                continue
            try:
                sync_stage(name, stage, words[3:], datasets)
            except Exception as error:  # MLflow that is away, or files of another version
                logger.warning("%s: not logged to MLflow: %s", name, error)
                if not runs.is_reachable():
                    return


def read_lock_file() -> dict[str, dict[str, Any]]:
    """Return the stages of dvc.lock. A grid may be writing it at this moment: it is read again."""
    for attempt in range(READ_ATTEMPTS):
        try:
            content = YAML(typ="safe").load(DVC_LOCK) if DVC_LOCK.is_file() else None
            return {
                name: entry
                for name, entry in ((content or {}).get("stages") or {}).items()
                if "cmd" in entry
            }
        except (YAMLError, AttributeError, TypeError):
            if attempt == READ_ATTEMPTS - 1:
                logger.warning("%s cannot be read: nothing is logged to MLflow", DVC_LOCK)
            time.sleep(READ_PAUSE_SECONDS)
    return {}


def sync_stage(name: str, stage: ModuleType, words: list[str], datasets: Sequence[str]) -> None:
    """Log one finished stage, if its dataset is active and its run is missing."""
    try:
        options = parse(stage.Options, words)
    except UsageError:
        return  # of an older version: it runs again at the next `dvc repro`
    if options.dataset not in datasets:
        return
    os.environ["DVC_STAGE"] = name
    if stage.track(options):
        print(f"{name}: logged to MLflow")


def is_current(entry: Mapping[str, Any]) -> bool:
    """Return whether the files of a stage are here, and made with today's parameters."""
    outs, deps = entry.get("outs", []), entry.get("deps", [])
    try:
        unchanged = all(
            params.find(params.load(Path(path)), key) == value
            for path, values in entry.get("params", {}).items()
            for key, value in values.items()
        )
        return (
            unchanged
            and all(Path(row["path"]).exists() for row in (*deps, *outs))
            and all(row["md5"] == md5(Path(row["path"])) for row in outs if "nfiles" not in row)
        )
    except (RecordError, FileNotFoundError):
        return False  # a recipe, a section or a file that is no longer there


def md5(path: Path) -> str:
    """Return a file's digest as DVC takes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    command.run(__doc__, Options, main)
