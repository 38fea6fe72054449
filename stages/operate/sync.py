"""sync: log finished results to MLflow, from their files, and register finished recognisers.

It logs what the pipeline made, what DVC restored, and what was made while MLflow was away. Which
stages are finished, and where their files lie, is read from dvc.lock. What is logged already stays,
and what was logged from here is not looked at again unless `--all` says so.
"""

import hashlib
import importlib
import logging
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.runtime import command, params
from stages.runtime.options import StageOptions, UsageError, option, parse
from stages.runtime.places import DVC_LOCK
from stages.tracking import logged, runs, store
from tsn.records import RecordError

TRACKED = ("baseline", "train", "score", "fuse", "report", "package")  # each builds on those before
logger = logging.getLogger(__name__)

READ_ATTEMPTS = 5
READ_PAUSE_SECONDS = 0.4


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    also: str | None = option(
        "the command of a stage that is finished, but not in dvc.lock yet", default=None
    )
    all: bool = option("look again at what was logged from here before", default=False)


def main(options: Options) -> None:
    if not store.tracking_is_on():
        return
    entries = read_entries()
    left = entries if options.all else logged.not_logged(entries)
    datasets = params.active_datasets()
    finished = {
        name: entry
        for name, entry in left.items()
        if is_tracked(entry, datasets) and is_current(entry)
    }
    if options.also is not None and is_tracked({"cmd": options.also}, datasets):
        finished[os.environ.get("DVC_STAGE", "")] = {"cmd": options.also}
    if not finished or not runs.is_reachable():
        return
    with store.hold_sync_lock():
        log(finished)


def log(finished: logged.Entries) -> None:
    """Log finished stages, given by their entries, in the order in which they build on others."""
    done = {}
    for name, entry in sorted(finished.items(), key=lambda item: TRACKED.index(kind(item[1]))):
        stage, words = importlib.import_module(f"stages.{kind(entry)}"), shlex.split(entry["cmd"])
        try:
            if sync_stage(name, stage, words[3:]) and "outs" in entry:
                done[name] = entry
        except Exception as error:  # MLflow that is away, or files of another version
            logger.warning("%s: not logged to MLflow: %s", name, store.without_credentials(error))
            if not runs.is_reachable():
                break
    logged.remember(done)


def is_tracked(entry: Mapping[str, Any], datasets: Sequence[str]) -> bool:
    """Return whether an entry is of a tracked stage and an active dataset."""
    return kind(entry) != "" and any(
        ("--dataset", name) in pairwise(shlex.split(entry["cmd"])) for name in datasets
    )


def kind(entry: Mapping[str, Any]) -> str:
    """Return which tracked stage an entry's command runs, or nothing."""
    words = shlex.split(entry["cmd"]) if isinstance(entry["cmd"], str) else []
    name = words[2].removeprefix("stages.") if words[:2] == ["python", "-m"] and words[2:] else ""
    return name if name in TRACKED else ""


def read_entries(path: Path = DVC_LOCK) -> dict[str, dict[str, Any]]:
    """Return the stages of dvc.lock. A grid may be writing it at this moment: it is read again."""
    for attempt in range(READ_ATTEMPTS):
        try:
            content = YAML(typ="safe").load(path) if path.is_file() else None
            return {
                name: entry
                for name, entry in ((content or {}).get("stages") or {}).items()
                if "cmd" in entry
            }
        except (YAMLError, AttributeError, TypeError):
            if attempt == READ_ATTEMPTS - 1:
                logger.warning("%s cannot be read, and is passed over", path)
            time.sleep(READ_PAUSE_SECONDS)
    return {}


def sync_stage(name: str, stage: ModuleType, words: list[str]) -> bool:
    """Log one finished stage if its run is missing; return False for an older version's command."""
    try:
        options = parse(stage.Options, words)
    except UsageError:
        return False  # it runs again at the next `dvc repro`
    os.environ["DVC_STAGE"] = name
    if stage.track(options):
        print(f"{name}: logged to MLflow")
    return True


def is_current(entry: Mapping[str, Any]) -> bool:
    """Return whether the files of a stage are here, and made with today's parameters."""
    outs, deps = entry.get("outs", []), entry.get("deps", [])
    try:
        return (
            has_params(entry, Path())
            and all(Path(row["path"]).exists() for row in (*deps, *outs))
            and all(row["md5"] == md5(Path(row["path"])) for row in outs if "nfiles" not in row)
        )
    except FileNotFoundError:
        return False


def has_params(entry: Mapping[str, Any], root: Path) -> bool:
    """Return whether a stage was run with the parameters that the files below `root` have."""
    try:
        return all(
            params.find(params.load(root / path), key) == value
            for path, values in entry.get("params", {}).items()
            for key, value in values.items()
        )
    except (RecordError, FileNotFoundError):
        return False  # a recipe or a section that is no longer there


def md5(path: Path) -> str:
    """Return a file's digest as DVC takes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    command.run(__doc__, Options, main)
