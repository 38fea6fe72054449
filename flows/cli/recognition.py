"""The commands that use networks: what videos show, clips and long ones, and what is looked for."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.frame import USE, Videos, chosen, command, modality_names, work


class Crops(StrEnum):
    one, ten = "1", "10"


CROPS = {Crops.one: "centre", Crops.ten: "ten_crop"}
Model = Annotated[
    str | None,
    typer.Option(
        help="A recogniser's folder, models:/<dataset>@<alias> or models:/<dataset>/<number>. "
        "Default: the champion of the only dataset of params.yaml, or recognisers/<dataset>.",
        show_default=False,
    ),
]
Top = Annotated[
    int | None, typer.Option(min=1, help="Classes to show. Default: 5.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="A line of JSON for each video.")]
Csv = Annotated[bool, typer.Option("--csv", help="A table, with a row for each video.")]
Modalities = Annotated[
    str | None,
    typer.Option(
        help="Those to ask, with commas between. rgb alone is fast. Default: all.",
        show_default=False,
    ),
]
CropsOfFrame = Annotated[
    Crops | None,
    typer.Option(
        "--crops", help="Of each frame: 1 is fast. Default: the recogniser's.", show_default=False
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda or auto. Default: that of params.yaml.", show_default=False),
]
Annotate = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT.MP4|FOLDER",
        help="Write the video with its classes and its flow on it; a folder for several videos.",
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
        "10 rightly recognised test videos. Needed with fewer --modalities or other --crops.",
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
Subset = Annotated[
    str | None,
    typer.Option(
        help="Untrimmed: count only annotated videos of this subset in the mean average precision, "
        "for example validation (ActivityNet) or test (THUMOS14). Default: all.",
        show_default=False,
    ),
]


@command(
    USE,
    "tsn recognise clip.mov",
    "tsn recognise clips/ --csv > classes.csv",
    "tsn recognise *.mp4 --model models:/mine@champion --modalities rgb --crops 1",
    "tsn recognise clip.mov --annotate annotated.mp4",
    "tsn recognise long.mp4 --untrimmed",
)
def recognise(
    videos: Videos,
    model: Model = None,
    top: Top = None,
    json: Json = False,
    csv: Csv = False,
    modalities: Modalities = None,
    crops: CropsOfFrame = None,
    device: Device = None,
    annotate: Annotate = None,
    untrimmed: Untrimmed = False,
    out: Out = None,
    sure: Sure = None,
    annotations: Annotations = None,
    subset: Subset = None,
) -> None:
    """Say which class each video shows; of a long one with --untrimmed, when it shows which.

    It works anywhere with --model FOLDER. Progress and rate of several videos are told on stderr.
    """
    here = Path.cwd()
    of_untrimmed = out or annotations or subset or sure is not None
    subset_alone = bool(subset and not annotations)
    _refuse_misfits(untrimmed, csv, bool(top), bool(annotate), bool(of_untrimmed), subset_alone)

    def main() -> None:
        from stages.operate import recognise, timeline

        common: dict[str, Any] = {
            "videos": tuple(here / video for video in videos),
            "model": _model(here, model),
            "top": top or recognise.DEFAULT_TOP,
            "json": json,
            "modalities": _words(modalities),
            "crops": crops and CROPS[crops],
            "device": device,
        }
        if untrimmed:
            place, truth = here / (out or "timelines"), annotations and here / annotations
            long: dict[str, Any] = {"sure": sure, "subset": subset and subset.lower()}
            timeline.main(timeline.Options(**common, **long, out=place, annotations=truth))
        else:
            shown_on = annotate and here / annotate
            recognise.main(recognise.Options(**common, csv=csv, annotate=shown_on))

    work("recognise", main, anywhere=True)


def _refuse_misfits(
    untrimmed: bool, csv: bool, top: bool, annotate: bool, of_untrimmed: bool, subset_alone: bool
) -> None:
    """Raise BadParameter for options of `tsn recognise` that do nothing together."""
    misfits = {
        "--untrimmed writes a CSV file of each video anyway": untrimmed and csv,
        "--annotate is for clips; --untrimmed draws a timeline": untrimmed and annotate,
        "--csv has the scores of all classes: leave out --top": csv and top,
        "--out, --sure, --annotations, --subset need --untrimmed": of_untrimmed and not untrimmed,
        "--subset is of the videos that --annotations names: give both": subset_alone,
    }
    for why in (why for why, found in misfits.items() if found):
        raise typer.BadParameter(why)


@command(USE, "tsn export", "tsn export --model recognisers/mine --modalities rgb --out phone")
def export(
    model: Model = None,
    modalities: Modalities = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder to write. Default: exported.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a recogniser's networks as ONNX, with a script that runs them without this project.

    Every network is asked for the same scores as the original before it is written.
    """
    here = Path.cwd()

    def main() -> None:
        from stages.operate import export

        export.main(
            export.Options(
                model=_model(here, model),
                modalities=_words(modalities),
                out=here / (out or "exported"),
            )
        )

    work("export", main, anywhere=True)


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


def _model(here: Path, name: str | None) -> str | None:
    """Return a recogniser's name; a folder's as it is meant from `here`."""
    return str(here / name) if name and (here / name).is_dir() else name


def _words(text: str | None) -> tuple[str, ...]:
    """Return words with commas between."""
    return tuple((text or "").replace(",", " ").split())


def _from(here: Path, word: str) -> str:
    """Return a word that may name a folder, by `TITLE=` or not, as it is meant from a folder."""
    title, equals, place = word.rpartition("=")
    path = here / place
    return f"{title or place}={path}" if equals or path.is_dir() else word
