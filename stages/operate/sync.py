"""sync: give finished results their MLflow runs where those are missing.

A cell that DVC restored without running it, or that ran while MLflow was away, is logged from its
files. Which cells are finished, and where their files lie, is read from dvc.lock.
"""

import hashlib
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML

from stages import baseline, fuse, package, report, score, train
from stages.runtime import command, params
from stages.runtime.options import StageOptions, UsageError, parse
from stages.runtime.places import DVC_LOCK
from stages.tracking import runs
from tsn.records import RecordError

TRACKED = (baseline, train, score, fuse, report, package)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    pass


def main(_: Options) -> None:
    datasets = params.section(params.load(), "datasets", tuple[str, ...])
    stages = YAML(typ="safe", pure=True).load(DVC_LOCK)["stages"] if DVC_LOCK.is_file() else {}
    for stage in TRACKED:
        for name, entry in stages.items():
            words = shlex.split(entry.get("cmd", ""))
            if words[:3] != ["python", "-m", stage.__name__] or not is_current(entry):
                continue
            if not runs.is_reachable():
                return
            try:
                sync_stage(name, stage, words[3:], datasets)
            except OSError as error:  # the store, or the disk: the next ones would fare no better
                logger.warning("%s: not logged to MLflow: %s", name, error)
                return
            except Exception as error:  # files of another version; `make repro` goes on
                logger.warning("%s: not logged to MLflow: %s", name, error)


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
        print(f"{name}: logged to MLflow from its files")


def is_current(entry: Mapping[str, Any]) -> bool:
    """Return whether the files of a stage are here, and made with today's parameters."""
    outs, deps = entry.get("outs", []), entry.get("deps", [])
    try:
        unchanged = all(
            params.find(params.load(Path(path)), key) == value
            for path, values in entry.get("params", {}).items()
            for key, value in values.items()
        )
    except RecordError:
        return False  # a recipe, or a section, that is no longer there
    return (
        unchanged
        and all(Path(row["path"]).exists() for row in (*deps, *outs))
        and all(row["md5"] == md5(Path(row["path"])) for row in outs if "nfiles" not in row)
    )


def md5(path: Path) -> str:
    """Return a file's digest as DVC takes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


if __name__ == "__main__":
    command.run(__doc__, Options, main)
