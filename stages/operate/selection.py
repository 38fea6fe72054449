"""selection: reads what params.yaml chooses, and refuses what no command may be given.

The first of all stages, and the only one whose command has no value of params.yaml in it: DVC gives
a command to the shell, so what is put into one is checked before. What it writes never changes.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command, params
from stages.runtime.machine import Machine
from stages.runtime.options import StageOptions, output_path
from stages.runtime.params import Settings
from tsn.files import write_json
from tsn.modality import modality
from tsn.records import RecordError, require_keys

SECTIONS = ("datasets", "splits", "modalities", "machine")


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    params_sections = ("datasets", "splits", "modalities")

    out: Path = output_path("a note that params.yaml was read")


def main(options: Options) -> None:
    check_selection(params.load())
    write_json(options.out, {"selection": "can be run"})


def check_selection(selection: Settings) -> None:
    """Raise RecordError unless params.yaml is well formed."""
    require_keys(selection.values, SECTIONS, f"{selection.path}: the top level")
    params.section(selection, "machine", Machine)
    for key, item in (("datasets", str), ("splits", int), ("modalities", str)):
        values = params.section(selection, key, tuple[item, ...])  # type: ignore[valid-type]
        if not values or len(set(values)) < len(values):
            raise RecordError(f"{selection.path}: {key}: expected different values, got {values}")
    params.active_datasets(selection)
    for name in params.section(selection, "modalities", tuple[str, ...]):
        modality(name)


if __name__ == "__main__":
    command.run(__doc__, Options, main)
