"""check: reads the whole of params.yaml strictly, before anything is computed."""

import argparse

from stages import command, params
from stages.machine import Machine
from tsn.extraction import STREAMS
from tsn.fusion import FusionConfig
from tsn.initial import INITS
from tsn.modality import MODALITIES, modality
from tsn.scoring import ScoringConfig
from tsn.sources import SOURCES
from tsn.splits import SplitConfig
from tsn.training import TrainingConfig

TOP_LEVEL = ("datasets", "splits", "modalities", "machine", "recipes")
RECIPE = ("source", "split", "extract", "init", "train", "score", "fusion")


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
    """Every section of one recipe."""
    recipe = f"recipes.{name}"
    params.refuse_other_keys(params.find(content, recipe), recipe, RECIPE)
    params.choice(content, f"{recipe}.source", {k: row.config for k, row in SOURCES.items()})
    params.section(content, f"{recipe}.split", SplitConfig)
    params.choice(content, f"{recipe}.init", INITS)
    for part in ("extract", "train"):
        section = f"{recipe}.{part}"
        params.refuse_other_keys(params.find(content, section), section, tuple(MODALITIES))
    for row in MODALITIES.values():
        params.section(content, f"{recipe}.extract.{row.name}", STREAMS[row.stream].config_class)
        params.section(content, f"{recipe}.train.{row.name}", TrainingConfig)
    params.section(content, f"{recipe}.score", ScoringConfig)
    params.section(content, f"{recipe}.fusion", FusionConfig)


if __name__ == "__main__":
    command.run(argparse.ArgumentParser(prog="check", description=__doc__), main)
