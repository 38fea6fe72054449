"""Commands that keep a workspace small."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import UPKEEP, command, work


@command(UPKEEP, "tsn gc", "tsn gc --days 7 --yes")
def gc(
    days: Annotated[
        float,
        typer.Option(min=0, help="How long unused, before a worktree, training or stream goes."),
    ] = 30.0,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it. Default: show it, and ask at a terminal.")
    ] = False,
) -> None:
    """Show what nobody needs any more, with its size, and remove it.

    Streams of settings and videos of before, what no commit or experiment has of DVC's cache, old
    worktrees of retraining, progress of training runs that are done or gone, and runs that were
    deleted in MLflow's UI. docs/growth.md says more.
    """

    def main() -> None:
        from flows.growth.gc import collect

        collect(Path.cwd(), days, yes=yes)

    work("gc", main)
