"""check: reads the whole of params.yaml strictly, before anything is computed."""

import argparse

from stages.runtime import command, params
from stages.runtime.machine import Machine
from tsn.modality import MODALITIES, modality
from tsn.recogniser.comparison import PromotionRule
from tsn.recogniser.folder import PackageConfig
from tsn.scoring.fusion import FusionConfig
from tsn.scoring.score import ScoringConfig
from tsn.sources.table import SOURCES
from tsn.splits.formats import SplitConfig
from tsn.splits.ingest import IntakeConfig
from tsn.streams.table import STREAMS
from tsn.training.initial_weights import INITS
from tsn.training.train import TrainingConfig

TOP_LEVEL = ("datasets", "splits", "modalities", "machine", "recipes")
RECIPE = (
    *("source", "split", "extract", "init", "train", "score", "fusion"),
    *("package", "intake", "promotion"),
)


def main(_: argparse.Namespace) -> None:
    content = params.load()
    params.refuse_other_keys(content, "", TOP_LEVEL)
    params.section(content, "machine", Machine)
    params.section(content, "splits", tuple[int, ...])
    recipes = params.find(content, "recipes")
    for name in params.section(content, "datasets", tuple[str, ...]):
        params.find(content, f"recipes.{name}")
    for name in params.section(content, "modalities", tuple[str, ...]):
        modality(name)
    for name in recipes:
        check_recipe(content, name)


def check_recipe(content: params.Content, name: str) -> None:
    """Every section of one recipe, and that they fit together."""
    recipe = f"recipes.{name}"
    params.refuse_other_keys(params.find(content, recipe), recipe, RECIPE)
    params.choice(content, f"{recipe}.source", {k: row.config for k, row in SOURCES.items()})
    split = params.section(content, f"{recipe}.split", SplitConfig)
    _, init = params.choice(content, f"{recipe}.init", INITS)
    for part in ("extract", "train"):
        section = f"{recipe}.{part}"
        params.refuse_other_keys(params.find(content, section), section, tuple(MODALITIES))
    for row in MODALITIES.values():
        stream = STREAMS[row.stream]
        snippet_frames = row.snippet_length + stream.frames_per_entry - 1
        extract = params.section(content, f"{recipe}.extract.{row.name}", stream.config_class)
        train = params.section(content, f"{recipe}.train.{row.name}", TrainingConfig)
        where = f"{recipe}.train.{row.name}"
        if train.network.backbone != init.backbone:
            raise params.ParamsError(
                f"{where}.network.backbone: {train.network.backbone}, but {recipe}.init makes "
                f"weights of {init.backbone}"
            )
        if extract.min_frames < snippet_frames:
            raise params.ParamsError(
                f"{recipe}.extract.{row.name}.min_frames: {extract.min_frames}, but a snippet of "
                f"{row.name} takes {snippet_frames}"
            )
        if train.input_size > min(extract.width, extract.height):
            raise params.ParamsError(
                f"{where}.input_size: {train.input_size} does not fit into the extracted "
                f"{extract.width}x{extract.height}"
            )
    params.section(content, f"{recipe}.score", ScoringConfig)
    fusion = params.section(content, f"{recipe}.fusion", FusionConfig)
    package = params.section(content, f"{recipe}.package", PackageConfig)
    params.section(content, f"{recipe}.intake", IntakeConfig)
    params.section(content, f"{recipe}.promotion", PromotionRule)
    if name in params.find(content, "datasets"):
        check_selection(content, recipe, split, fusion)
        check_package(content, recipe, package)


def check_selection(
    content: params.Content, recipe: str, split: SplitConfig, fusion: FusionConfig
) -> None:
    """That the pipeline's splits and modalities are what an active recipe makes and fuses."""
    for number in params.section(content, "splits", tuple[int, ...]):
        if not 1 <= number <= split.splits:
            raise params.ParamsError(f"splits: {number}, but {recipe} makes 1 to {split.splits}")
    modalities = params.section(content, "modalities", tuple[str, ...])
    for combination, weights in fusion.combinations.items():
        for member in weights:
            if member not in modalities:
                raise params.ParamsError(
                    f"{recipe}.fusion.combinations.{combination}: {member} is not among "
                    f"modalities ({', '.join(modalities)}); add it there or drop the combination"
                )


def check_package(content: params.Content, recipe: str, package: PackageConfig) -> None:
    """That the split to be packaged is one that an active recipe trains."""
    splits = params.section(content, "splits", tuple[int, ...])
    if package.split not in splits:
        raise params.ParamsError(
            f"{recipe}.package.split: {package.split} is not among splits "
            f"({', '.join(map(str, splits))}); add it there or package another"
        )


if __name__ == "__main__":
    command.run(argparse.ArgumentParser(prog="check", description=__doc__), main)
