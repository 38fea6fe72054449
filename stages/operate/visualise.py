"""visualise: what networks look for in classes, those of several training settings side by side.

A setting is the folder of a model, a folder of models by modality (models/<dataset>/<split>), or a
dataset, whose first split it then is; `TITLE=FOLDER` names it. There is a picture for each modality
that any of them has, and pictures.json says how sure each network is of its own pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.reporting.figures.class_pictures import Column, draw_class_pictures
from stages.runtime import params
from stages.runtime.options import StageOptions, option, output_path
from stages.runtime.places import DatasetPaths
from stages.visualise import columns_of, spread, visualise
from tsn.files import write_json
from tsn.modality import MODALITIES, modality
from tsn.model.checkpoint import SIDECAR, load_card

NUMBERS = "pictures.json"


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    settings: tuple[str, ...] = option("folders or datasets, or TITLE=FOLDER", positional=True)
    classes: tuple[str, ...] = option("only these")
    modalities: tuple[str, ...] = option("only these")
    out: Path = output_path("folder of the pictures")


def main(options: Options) -> None:
    wanted = [modality(name).name for name in options.modalities] or list(MODALITIES)
    named = [read_setting(word) for word in options.settings]
    settings = dict(named)
    if len(settings) < len(named):
        raise ValueError(f"{', '.join(options.settings)}: two have one title; write TITLE=FOLDER")
    found = [name for name in wanted if any(name in models for models in settings.values())]
    missing = [name for name in options.modalities if name not in found]
    if missing or not found:
        raise ValueError(
            f"{', '.join(options.settings)}: no model of {', '.join(missing or wanted)}"
        )
    numbers = {}
    for name in found:
        models = {title: row[name] for title, row in settings.items() if name in row}
        path = options.out / f"{name}.jpg"
        numbers[name] = draw(name, models, options.classes, path)
        print(f"visualise: {path}")
    write_json(options.out / NUMBERS, numbers)


def read_setting(word: str) -> tuple[str, dict[str, Path]]:
    """Return the title of a setting, and its models by modality."""
    title, equals, rest = word.rpartition("=")
    place = rest if equals else word
    folder = Path(place)
    if not folder.is_dir():
        if equals or "/" in place:
            raise FileNotFoundError(f"{folder}: no such folder; give that of a model or of a split")
        params.load_recipe(place)  # or it says which there are
        splits = params.section(params.load(), "splits", tuple[int, ...])
        folder = DatasetPaths(place).models / str(splits[0])
    sidecars = [folder / SIDECAR] if (folder / SIDECAR).is_file() else folder.glob(f"*/{SIDECAR}")
    models = {load_card(path.parent).modality: path.parent for path in sorted(sidecars)}
    if not models:
        raise FileNotFoundError(f"{folder}: no model here, and no folder of models; train them")
    return title or place, models


def draw(
    name: str, models: Mapping[str, Path], classes: Sequence[str], path: Path
) -> dict[str, object]:
    """Draw a modality's networks side by side; return by title what they are and how sure.

    Without `classes`, those of the first network are shown, or some of them if they are many.
    """
    shown = tuple(classes) or spread(load_card(next(iter(models.values()))).classes)
    columns: list[Column] = []
    numbers: dict[str, object] = {}
    for title, folder in models.items():
        found = visualise(folder, shown, f"visualise {title} {name}")
        columns += columns_of(title, found)
        sure = dict(zip(shown, found.sure, strict=True))
        numbers[title] = {
            "model": str(folder),
            "fingerprint": load_card(folder).fingerprint,
            "probability": sure,
        }
    draw_class_pictures(columns, shown, path, f"What networks look for: {name}")
    return numbers
