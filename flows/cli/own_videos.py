"""Commands for a person's own videos."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import DATA, Dataset, Quick, chosen, command, recipe_names, work


@command(
    DATA,
    "tsn new mine --videos ~/clips",
    "tsn new mine --videos ~/clips --quick",
    "tsn new mine --videos clips.csv --like ucf101",
)
def new(
    name: Annotated[str, typer.Argument(help="The dataset's name: letters, digits, _ and -.")],
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
    quick: Quick = False,
) -> None:
    """Look at your videos and write a recipe for them; estimate time and disk.

    It guesses from the names which clips show one person or scene, and says why. The dataset is
    added to params.yaml, where it takes the place of the built-in one.
    """
    typed = Path(os.path.normpath(videos.absolute()))

    def main() -> None:
        from stages.operate import new
        from stages.runtime.places import INBOX

        root = Path.cwd()
        # A worktree shares the inbox with its project, and no other folder.
        inside = typed.is_relative_to(root / INBOX)
        path = typed.relative_to(root) if inside else typed
        new.main(new.Options(name=name, videos=path, like=like, quick=quick))
        if quick:
            from flows.grid.chain import first_answers

            first_answers(root, [name])

    work("new", main)


@command(
    DATA,
    "tsn cut long --annotations activity_net.v1-3.min.json --out clips",
    "tsn cut long --annotations annotation --train validation --test test --out clips",
)
def cut(
    videos: Annotated[
        Path, typer.Argument(help="A folder of <id>.mp4, or v_<id>.mkv, ...", resolve_path=True)
    ],
    annotations: Annotated[
        Path,
        typer.Option(
            help="ActivityNet's JSON, or THUMOS14's folder of texts.",
            resolve_path=True,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The folder of the clips.", resolve_path=True, show_default=False)
    ],
    train: Annotated[list[str], typer.Option(help="A subset to train on.")] = ["training"],  # noqa: B006
    test: Annotated[list[str], typer.Option(help="A subset to test.")] = ["validation"],  # noqa: B006
) -> None:
    """Cut the annotated actions out of long videos, without the background between.

    The clips and their list are what `tsn new` takes. Clips that are there are not cut again.
    """

    def main() -> None:
        from stages.operate import cut

        cut.main(
            cut.Options(
                videos=videos,
                annotations=annotations,
                train=tuple(train),
                test=tuple(test),
                out=out,
            )
        )

    work("cut", main)


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
