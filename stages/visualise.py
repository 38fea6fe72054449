"""visualise: what each network looks for in a class, as pictures (the paper's Figure 3).

As a stage it does so for the networks of one split; the report shows the picture, and the run of
the dataset's mean holds it. `tsn visualise` draws any networks, side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.reporting.figures.class_pictures import Column, draw_class_pictures
from stages.runtime import command, params, provenance
from stages.runtime.machine import choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from tsn.model.checkpoint import load_card
from tsn.visualisation.pictures import ClassPictures, prepare_visualisation

MOST_CLASSES = 12  # in one picture, of those that nobody has named


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    params_sections = ("modalities",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    models: Path = input_path("folder of a split's models, one for each modality")
    out: Path = output_path("the picture, a JPEG")


def main(options: Options) -> None:
    names = params.section(params.load(), "modalities", tuple[str, ...])
    with provenance.unchanged(options):
        classes = spread(load_card(options.models / names[0]).classes)
        columns: list[Column] = []
        for name in names:
            text = f"visualise {options.dataset} {name}"
            columns += columns_of(name, visualise(options.models / name, classes, text))
        draw_class_pictures(columns, classes, options.out, "What the networks look for")
    print(f"visualise: {options.out}")


def spread(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes, or as many of them as a picture has room for, evenly spread."""
    count = min(MOST_CLASSES, len(classes))
    places = np.linspace(0, len(classes) - 1, count).round().astype(int)
    return tuple(classes[place] for place in places)


def visualise(model: Path, classes: Sequence[str], text: str) -> ClassPictures:
    """Return what the network of a model folder looks for. ValueError for an unknown class.

    text: for the progress bar.
    """
    coming = prepare_visualisation(model, classes, choose_device(read_machine()))
    steps = command.progress(coming.steps(), total=coming.total, unit="step", text=text)
    return coming.result(dict(steps))  # of each part of the classes, the last pictures


def columns_of(heading: str, found: ClassPictures) -> list[Column]:
    """Return the views as columns of a figure; below the last of them is how sure the network is.

    heading: of all of them.
    """
    captions = [f"{share:.0%}" for share in found.sure]
    *_, last = found.views
    return [
        Column(
            heading=f"{heading}\n{view}".strip(),
            pictures=pictures,
            captions=captions if view == last else None,
        )
        for view, pictures in found.views.items()
    ]


if __name__ == "__main__":
    command.run(__doc__, Options, main)
