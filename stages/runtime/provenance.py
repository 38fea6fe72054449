"""What a result was made of: its fingerprint, and the refusal to finish if that changed meanwhile.

DVC records a stage's inputs as they are after its command. An edit made while the command runs
would be recorded as what was used, so the stage itself has to notice.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from stages.runtime import params

PROJECT_ROOT = Path(__file__).resolve().parents[2]

# Modules that carry a result but cannot change one; no dependency of any stage.
NEUTRAL_MODULES = frozenset(
    {
        "stages.runtime.command",
        "stages.runtime.gpu_slots",
        "stages.tracking.logged_model",
        "stages.tracking.store",
        "stages.runtime.params",
        "stages.runtime.provenance",
        "stages.tracking.registry",
        "stages.tracking.status",
        "stages.runtime.torchrun",
        "stages.tracking.runs",
        "tsn.files",
        "tsn.workers.prefetch",
        "tsn.workers.watchdog",
    }
)


def fingerprint(cell: Mapping[str, object], config: Any, files: Iterable[Path]) -> str:
    """A digest of what a training is for and made of: cell, configuration, files, library code."""
    code = code_files("tsn", "stages")
    read = [(path.name, _file_digest(path).hex()) for path in [*files, *code]]
    return digest([dict(cell), asdict(config), read])


def digest(content: Any) -> str:
    """A digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def code_files(*packages: str) -> list[Path]:
    """The project's own modules that this process has imported and that shape results, sorted."""
    sources = (
        getattr(module, "__file__", None)
        for name, module in list(sys.modules.items())
        if _real_name(name, module).split(".")[0] in packages
        and _real_name(name, module) not in NEUTRAL_MODULES
    )
    return sorted({Path(source) for source in sources if source})


def _real_name(name: str, module: ModuleType) -> str:
    """A module's name; that of the program itself is hidden behind `__main__`."""
    spec = getattr(module, "__spec__", None)
    return spec.name if name == "__main__" and spec is not None else name


@contextlib.contextmanager
def unchanged(sections: Sequence[str], inputs: Iterable[Path]) -> Iterator[None]:
    """Raises ValueError at the end if a params section, an input or the code has changed."""
    paths = list(inputs)
    before = _snapshot(sections, paths)
    yield
    after = _snapshot(sections, paths)
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if changed:
        raise ValueError(
            f"changed while this stage ran: {', '.join(changed[:5])}. Nothing was recorded; "
            "run `dvc repro` again"
        )


def _snapshot(sections: Sequence[str], inputs: Iterable[Path]) -> dict[str, object]:
    content = params.load()
    state: dict[str, object] = {f"params.yaml {s}": params.find(content, s) for s in sections}
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            status = file.stat()
            if not file.is_dir():
                state[str(file)] = (status.st_size, status.st_mtime_ns)
    for file in code_files("tsn", "stages"):
        state.setdefault(str(file.relative_to(PROJECT_ROOT)), _file_digest(file))
    return state


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
