"""`tsn recognise`: which class each video shows."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import USE, Videos, command, work


class Crops(StrEnum):
    one, ten = "1", "10"


Modalities = Annotated[
    str | None,
    typer.Option(
        help="Those to ask, with commas between. rgb alone is fast. Default: all.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda or auto. Default: that of params.yaml.", show_default=False),
]


@command(
    USE,
    "tsn recognise clip.mov",
    "tsn recognise clips/ --csv > classes.csv",
    "tsn recognise *.mp4 --model models:/mine@champion --modalities rgb --crops 1",
)
def recognise(
    videos: Videos,
    model: Annotated[
        str | None,
        typer.Option(
            help="A recogniser's folder, models:/<dataset>@<alias> or models:/<dataset>/<number>. "
            "Default: the champion of the only dataset of params.yaml, or recognisers/<dataset>.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to show.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each video.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="A table, with a row for each video.")] = False,
    modalities: Modalities = None,
    crops: Annotated[
        Crops | None,
        typer.Option(
            help="Of each frame: 1 is fast. Default: the recogniser's.", show_default=False
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Say which class each video shows; anywhere, with --model FOLDER.

    Progress and rate of several videos are told on stderr.
    """
    here = Path.cwd()

    def main() -> None:
        from stages.operate import recognise

        recognise.main(
            recognise.Options(
                videos=tuple(here / video for video in videos),
                model=str(here / model) if model and (here / model).is_dir() else model,
                top=top,
                json=json,
                csv=csv,
                modalities=tuple((modalities or "").replace(",", " ").split()),
                crops=crops and {Crops.one: "centre", Crops.ten: "ten_crop"}[crops],
                device=device,
            )
        )

    work("recognise", main, anywhere=True)
