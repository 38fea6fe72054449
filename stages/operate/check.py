"""check: reads params.yaml and recipes strictly, and refuses what cannot be, before it is computed.

As the first stage of a dataset it reads that dataset's recipe. By hand, without --dataset, it reads
every recipe. What it writes never changes, so what follows is not run again because of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.tokens import AliasToken, AnchorToken

from stages.operate.selection import check_selection
from stages.runtime import command, params, provenance
from stages.runtime.options import StageOptions, option, output_path
from stages.runtime.params import Settings
from tsn.files import write_json
from tsn.modality import MODALITIES, Modality, modality
from tsn.model.backbones import backbone
from tsn.model.initialisation import check_source
from tsn.recogniser.card import PackageConfig
from tsn.recogniser.comparison import PromotionRule
from tsn.records import RecordError, refuse_other_keys, require_keys
from tsn.scoring.fusion import FusionConfig
from tsn.scoring.settings import BaselineConfig, ScoringConfig
from tsn.sources.table import SOURCES
from tsn.splits.formats import SplitConfig
from tsn.splits.ingest import IngestConfig
from tsn.streams.table import STREAMS, Acceptance
from tsn.training.initial_weights import INITS
from tsn.training.settings import TrainingConfig

RECIPE = (
    *("source", "split", "accept", "extract", "init", "train", "score", "baseline"),
    *("fusion", "package", "ingest", "promotion"),
)
CHOICES: dict[str, dict[str, type]] = {
    "source": {name: row.config for name, row in SOURCES.items()},
    "init": {name: row.config for name, row in INITS.items()},
}
SECTIONS: dict[str, type] = {
    "split": SplitConfig,
    "accept": Acceptance,
    "train": TrainingConfig,
    "score": ScoringConfig,
    "baseline": BaselineConfig,
    "fusion": FusionConfig,
    "package": PackageConfig,
    "ingest": IngestConfig,
    "promotion": PromotionRule,
}


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = RECIPE
    params_sections = ("splits", "modalities")

    dataset: str | None = option("only this dataset's recipe, recipes/<dataset>.yaml", default=None)
    out: Path | None = output_path("a note that the recipe was read", default=None)


def main(options: Options) -> None:
    if options.dataset is None or options.out is None:
        check(options)
        return
    with provenance.unchanged(options):
        check(options)
    write_json(options.out, {"recipe": "can be run"})


def check(options: Options) -> None:
    """Raise RecordError unless params.yaml and the recipes of the options can be run."""
    selection = params.load()
    check_selection(selection)
    active = params.active_datasets(selection)
    chosen = (options.dataset,) if options.dataset else (*active, *params.recipe_names())
    for name in dict.fromkeys(chosen):
        recipe = params.load_recipe(name)
        refuse_anchors(recipe.path)
        check_recipe(recipe)
        if name in active:
            check_fit(selection, recipe)


def refuse_anchors(path: Path) -> None:
    """Raise RecordError for a recipe that shares numbers by YAML anchors.

    `dvc exp run -S` writes the file anew without resolving them, so a change of one number would
    be lost, or come to others.
    """
    for token in YAML(typ="safe", pure=True).scan(path.read_text(encoding="utf-8")):
        if isinstance(token, AnchorToken | AliasToken):
            raise RecordError(
                f"{path} line {token.start_mark.line + 1}: {token.value!r} is a YAML anchor; "
                "`dvc exp run -S` does not follow them: write the numbers out"
            )


def check_recipe(recipe: Settings) -> None:
    """Raise RecordError unless every section of a recipe is well formed and they fit together."""
    require_keys(recipe.values, RECIPE, f"{recipe.path}: the top level")
    for part in RECIPE:
        if part not in params.MODALITY_SECTIONS:
            read_section(recipe, part)
            continue
        rows = params.find(recipe, part)
        refuse_other_keys(rows, tuple(MODALITIES), f"{recipe.path}: {part}")
        for name in rows:
            read_section(recipe, f"{part}.{name}")
    for name in params.find(recipe, "train"):
        check_modality(recipe, modality(name))
    check_baseline(recipe)


def read_section(recipe: Settings, dotted: str) -> Any:
    """Return a section as what its stage makes of it; RecordError for one that there is not."""
    part, _, name = dotted.partition(".")
    if part in CHOICES:
        return params.choice(recipe, part, CHOICES[part])
    if part in params.MODALITY_SECTIONS and not name:
        return {row: read_section(recipe, f"{part}.{row}") for row in params.find(recipe, part)}
    if part == "extract":
        return params.section(recipe, dotted, STREAMS[modality(name).stream].config_class)
    return params.section(recipe, dotted, SECTIONS[part])


def check_modality(recipe: Settings, row: Modality) -> None:
    """Raise RecordError unless what is extracted for a modality is what its training takes."""
    stream = STREAMS[row.stream]
    extract = read_section(recipe, f"extract.{row.name}")
    train = read_section(recipe, f"train.{row.name}")
    kind, init = read_section(recipe, "init")
    min_frames = read_section(recipe, "accept").min_frames
    snippet_frames = row.snippet_length + stream.frames_per_entry - 1
    where = f"{recipe.path}: train.{row.name}"
    if train.network.backbone != init.backbone:
        raise RecordError(
            f"{where}.network.backbone: {train.network.backbone}, but init makes weights of "
            f"{init.backbone}"
        )
    try:
        check_source(train.initialisation, row.name, INITS[kind].modalities(init))
    except ValueError as error:
        raise RecordError(f"{where}: {error}") from error
    if min_frames < snippet_frames:
        raise RecordError(
            f"{recipe.path}: accept.min_frames: {min_frames}, but a snippet of {row.name} takes "
            f"{snippet_frames}"
        )
    if train.input_size > min(extract.width, extract.height):
        raise RecordError(
            f"{where}.input_size: {train.input_size} does not fit into the extracted "
            f"{extract.width}x{extract.height}"
        )


def check_baseline(recipe: Settings) -> None:
    """Raise RecordError unless the backbone of the initial weights takes the baseline's images."""
    _, init = read_section(recipe, "init")
    try:
        backbone(init.backbone).check_input_size(read_section(recipe, "baseline").input_size)
    except ValueError as error:
        raise RecordError(f"{recipe.path}: baseline: {error}") from error


def check_fit(selection: Settings, recipe: Settings) -> None:
    """Raise RecordError unless the recipe has what params.yaml asks for."""
    made = read_section(recipe, "split").splits
    splits = params.section(selection, "splits", tuple[int, ...])
    for number in splits:
        if not 1 <= number <= made:
            raise RecordError(
                f"{selection.path}: splits: {number}, but {recipe.path} makes 1 to {made}"
            )
    for name in params.section(selection, "modalities", tuple[str, ...]):
        for part in params.MODALITY_SECTIONS:
            params.find(recipe, f"{part}.{name}")
    packaged = read_section(recipe, "package").split
    if packaged not in splits:
        raise RecordError(
            f"{recipe.path}: package.split: {packaged} is not among splits "
            f"({', '.join(map(str, splits))}); add it there or package another"
        )


if __name__ == "__main__":
    command.run(__doc__, Options, main)
