"""The chain stage after stage, as `dvc repro` runs it, mended before: what `tsn repro` does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.grid.active import only_run, wait_for_others
from flows.grid.lock_file import keep_copy, repair
from flows.processes.programs import DVC, ProgramError, run_program


@contextmanager
def mended(workspace: Path) -> Iterator[None]:
    """Have a workspace to oneself, with what a kill has torn put right.

    ProgramError where another run is active in it.
    """
    with only_run(workspace):
        repair(workspace)
        wait_for_others(workspace)
        yield


def run_chain(workspace: Path, targets: Sequence[str]) -> None:
    """Run what is not up to date, of the targets or of everything.

    ProgramError where another run is active in the workspace, and where a stage fails.
    """
    with mended(workspace):
        keep_copy(workspace)
        patterns = ["--glob", *targets] if targets else []
        code = run_program([*DVC, "repro", *patterns], workspace)
        if code != 0:
            repair(workspace)
            raise ProgramError(
                f"dvc repro exited with {code}; the stage says why above. What finished is kept"
            )
        keep_copy(workspace)
