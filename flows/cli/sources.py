"""Datasets are taken again when they have changed where they came from."""

from collections.abc import Sequence
from pathlib import Path

from flows.grid.chain import repaired
from flows.processes.programs import run_dvc
from stages.operate.changed_sources import changed_sources
from stages.runtime import params


def take_changed_sources(targets: Sequence[str]) -> None:
    """Run `download` again for each dataset of the targets whose source has changed.

    Every dataset is one of the targets where they name cells of none.
    """
    wanted = [
        dataset
        for dataset in params.active_datasets()
        if not targets or any("@" not in row or dataset in row or "*" in row for row in targets)
    ]
    for dataset, changes in changed_sources(wanted).items():
        print("\n".join([f"{dataset}: its source has changed, and is taken again", *changes]))
        with repaired(Path.cwd()):
            run_dvc(["repro", "--force", "--single-item", f"download@{dataset}"], Path.cwd())
