"""The commands that use networks: what videos show, clips and long ones, and what is looked for."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import USE, Videos, chosen, command, modality_names, work

Model = Annotated[
    str | None,
    typer.Option(
        help="A recogniser's folder, models:/<dataset>@<alias> or models:/<dataset>/<number>. "
        "Default: recognisers/<dataset> of the only dataset of params.yaml.",
        show_default=False,
    ),
]
Untrimmed = Annotated[
    bool, typer.Option("--untrimmed", help="Long videos: say what they show when, and draw it.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Untrimmed: the folder of the timelines. Default: timelines.", show_default=False
    ),
]
Sure = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Untrimmed: a second shows its best class from this share on. Default: that of 9 in "
        "10 rightly recognised test videos.",
        show_default=False,
    ),
]
Annotations = Annotated[
    Path | None,
    typer.Option(
        help="Untrimmed: what really happens when, as ActivityNet or THUMOS14 publish it; gives "
        "the mean average precision.",
        show_default=False,
    ),
]


@command(
    USE,
    "tsn recognise clip.mov",
    "tsn recognise *.mp4 --model models:/mine@champion",
    "tsn recognise long.mp4 --untrimmed",
)
def recognise(
    videos: Videos,
    model: Model = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to show.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each video.")] = False,
    untrimmed: Untrimmed = False,
    out: Out = None,
    sure: Sure = None,
    annotations: Annotations = None,
) -> None:
    """Say which class each video shows; of a long one with --untrimmed, when it shows which."""
    here = Path.cwd()
    if not untrimmed and (out or annotations or sure is not None):
        raise typer.BadParameter("--out, --sure and --annotations are for --untrimmed")

    def main() -> None:
        name = model or f"recognisers/{chosen(None, 'by --model recognisers/<dataset>')}"
        if model and (here / model).is_dir():
            name = str(here / model)
        files = tuple(here / video for video in videos)
        if untrimmed:
            from stages.operate import timeline

            timeline.main(
                timeline.Options(
                    videos=files,
                    model=name,
                    out=here / (out or "timelines"),
                    top=top,
                    sure=sure,
                    annotations=annotations and here / annotations,
                    json=json,
                )
            )
        else:
            from stages.operate import recognise

            recognise.main(recognise.Options(videos=files, model=name, top=top, json=json))

    work("recognise", main)


@command(
    USE,
    "tsn visualise",
    "tsn visualise scratch=models/scratch/1 TSN=models/mine/1 --modalities rgb --classes Run",
)
def visualise(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            help="Networks, side by side: datasets, folders of a model or of a split's models, "
            "or TITLE=FOLDER. Default: the dataset of params.yaml, if it is one.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="A class to draw. Default: all, or a dozen.", show_default=False),
    ] = None,
    modalities: Annotated[
        list[str] | None,
        typer.Option(
            help="A modality to draw. Default: all.",
            autocompletion=modality_names,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures. Default: .tsn/visualise.", resolve_path=True),
    ] = None,
) -> None:
    """Draw what networks look for in classes, as pictures made from noise."""
    here = Path.cwd()

    def main() -> None:
        from stages.operate import visualise
        from stages.runtime.places import VISUALISE

        visualise.main(
            visualise.Options(
                settings=tuple(_from(here, word) for word in settings or [chosen(None)]),
                classes=tuple(classes or ()),
                modalities=tuple(modalities or ()),
                out=out or VISUALISE,
            )
        )

    work("visualise", main)


def _from(here: Path, word: str) -> str:
    """Return a word that may name a folder, by `TITLE=` or not, as it is meant from a folder."""
    title, equals, place = word.rpartition("=")
    path = here / place
    return f"{title or place}={path}" if equals or path.is_dir() else word
