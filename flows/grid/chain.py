"""The chain stage after stage, as `dvc repro` runs it, mended before: what `tsn repro` does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.grid.active import only_run, wait_for_others
from flows.grid.lock_file import keep_copy, repair
from flows.processes.programs import DVC, run_program


@contextmanager
def mended(workspace: Path) -> Iterator[None]:
    """Have a workspace to oneself, with what a kill has torn put right.

    ProgramError where another run is active in it.
    """
    with only_run(workspace):
        repair(workspace)
        wait_for_others(workspace)
        yield


def run_chain(workspace: Path, targets: Sequence[str]) -> int:
    """Run what is not up to date, of the targets or of everything; return the exit code of dvc.

    ProgramError where another run is active in the workspace.
    """
    with mended(workspace):
        keep_copy(workspace)
        patterns = ["--glob", *targets] if targets else []
        code = run_program([*DVC, "repro", *patterns], workspace)
        if code != 0:
            repair(workspace)
        else:
            keep_copy(workspace)
        return code
