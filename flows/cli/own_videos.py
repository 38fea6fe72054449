"""Commands for a person's own videos."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import DATA, Dataset, chosen, command, recipe_names, work


@command(DATA, "tsn new mine --videos ~/clips", "tsn new mine --videos clips.csv --like ucf101")
def new(
    name: Annotated[str, typer.Argument(help="The dataset's name: small letters, digits and _.")],
    videos: Annotated[
        Path,
        typer.Option(
            help="A folder of <class>/<clip>, or a CSV file with the columns path and label.",
            exists=True,
            show_default=False,
        ),
    ],
    like: Annotated[
        str, typer.Option(help="The recipe to copy the numbers from.", autocompletion=recipe_names)
    ] = "weizmann",
) -> None:
    """Look at your videos and write a recipe for them; estimate time and disk.

    It guesses from the names which clips show one person or scene, and says why. The dataset is
    added to params.yaml, where it takes the place of the built-in one.
    """
    typed = Path(os.path.normpath(videos.absolute()))

    def main() -> None:
        from stages.operate import new

        root = Path.cwd()
        # A worktree shares the inbox with its project, and no other folder.
        inside = typed.is_relative_to(root / "inbox")
        path = typed.relative_to(root) if inside else typed
        new.main(new.Options(name=name, videos=path, like=like))

    work("new", main)


@command(DATA, "tsn look clip.avi", "tsn look data/mine/videos mine --out mine.png")
def look(
    videos: Annotated[
        Path, typer.Argument(help="A video, or a folder of <class>/<clip>.", resolve_path=True)
    ],
    dataset: Dataset = None,
    out: Annotated[Path, typer.Option(help="The picture.", resolve_path=True)] = Path("look.png"),
    rows: Annotated[
        int, typer.Option(min=1, max=32, help="Moments of a video, or videos of a folder.")
    ] = 4,
) -> None:
    """Draw videos as the networks see them: frame, RGB difference, flow, warped flow."""

    def main() -> None:
        from stages import look

        look.main(look.Options(dataset=chosen(dataset), videos=videos, rows=rows, out=out))

    work("look", main)
