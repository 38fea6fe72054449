"""What a result was made of: its fingerprint, and the refusal to finish if that changed meanwhile.

DVC records a stage's inputs as they are after its command. An edit made while the command runs
would be recorded as what was used, so the stage itself has to notice.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from stages.runtime import params
from stages.runtime.options import StageOptions
from stages.runtime.places import PROJECT_ROOT
from tsn.files import file_sha256, json_sha256

# Modules that carry a result but cannot change one; no dependency of any stage.
NEUTRAL_MODULES = frozenset(
    {
        "stages.runtime.command",
        "stages.runtime.computer",
        "stages.runtime.environment",
        "stages.runtime.gpu_slots",
        "stages.runtime.options",
        "stages.runtime.places",
        "stages.tracking.data_sets",
        "stages.tracking.entries",
        "stages.tracking.links",
        "stages.tracking.logged_model",
        "stages.tracking.made",
        "stages.tracking.notes",
        "stages.tracking.open_run",
        "stages.tracking.pipeline_runs",
        "stages.tracking.store",
        "stages.runtime.params",
        "stages.runtime.provenance",
        "stages.tracking.registry",
        "stages.tracking.status",
        "stages.runtime.torchrun",
        "stages.tracking.runs",
        "stages.tracking.views",
        "tsn.locks",
        "tsn.workers.parent",
        "tsn.workers.prefetch",
        "tsn.workers.watchdog",
    }
)


def fingerprint(cell: Mapping[str, object], config: Any, files: Iterable[Path]) -> str:
    """Return a digest of what a training is for and made of: cell, numbers, files, library code."""
    code = code_files("tsn", "stages")
    read = [(path.name, file_sha256(path)) for path in [*files, *code]]
    return json_sha256([dict(cell), asdict(config), read])


def code_files(*packages: str) -> list[Path]:
    """Return the project's imported modules that shape results, sorted."""
    sources = (
        getattr(module, "__file__", None)
        for name, module in sys.modules.copy().items()  # other threads may import
        if _real_name(name, module).split(".")[0] in packages
        and _real_name(name, module) not in NEUTRAL_MODULES
    )
    return sorted({Path(source) for source in sources if source})


def _real_name(name: str, module: ModuleType) -> str:
    """Return a module's name; that of the program itself is hidden behind `__main__`."""
    spec = getattr(module, "__spec__", None)
    return spec.name if name == "__main__" and spec is not None else name


@contextlib.contextmanager
def unchanged(options: StageOptions, also: Iterable[Path] = ()) -> Iterator[None]:
    """Raise ValueError at the end if what the options read, or the code, has changed meanwhile.

    also: further files and folders that the stage reads.
    """
    paths = [*options.inputs, *also]
    before = _snapshot(options, paths)
    yield
    after = _snapshot(options, paths)
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if changed:
        raise ValueError(
            f"changed while this stage ran: {', '.join(changed[:5])}. Nothing was recorded; "
            "run `dvc repro` again"
        )


def _snapshot(options: StageOptions, paths: Iterable[Path]) -> dict[str, object]:
    state: dict[str, object] = {}
    if options.params_sections:
        state |= _sections(params.load(), options.params_sections)
    if options.recipe_sections:
        state |= _sections(params.load_recipe(options.recipe), options.sections)
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            status = _status(file)
            if not stat.S_ISDIR(status.st_mode):
                state[str(file)] = (status.st_size, status.st_mtime_ns)
    for file in code_files("tsn", "stages"):
        state.setdefault(str(file.relative_to(PROJECT_ROOT)), file_sha256(file))
    return state


def _status(path: Path) -> os.stat_result:
    """Return what a file is; of a link that leads nowhere, what the link is."""
    try:
        return path.stat()
    except OSError:
        return path.lstat()


def _sections(settings: params.Settings, names: Iterable[str]) -> dict[str, object]:
    return {f"{settings.path} {name}": params.find(settings, name) for name in names}
