"""The command `tsn`: the code of the project that it is called in, and what all commands share."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import commands, comparing, own_videos, recognition, serve, study, upkeep
from flows.cli.frame import app, find_root

# Imported, so that they are known.
__all__ = ["commands", "comparing", "own_videos", "recognition", "serve", "study", "upkeep"]
AGAIN = "TSN_WITH_ANOTHER_CODE"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tsn {version('tsn-pipeline')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Say what all commands share."""


def main() -> None:
    """Run the command of the command line, with the code of the project that it is called in."""
    root = find_root(Path.cwd())
    own = Path(__file__).resolve().parents[2]
    other = root is not None and root != own and (root / "flows/cli/frame.py").is_file()
    if other and AGAIN not in os.environ:
        os.environ[AGAIN] = "yes"  # or a project that links to another one's code would do so again
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        os.execv(sys.executable, [sys.executable, "-m", "flows.cli", *sys.argv[1:]])
    app()


if __name__ == "__main__":
    main()
