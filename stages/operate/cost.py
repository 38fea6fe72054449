"""What the cells of a dataset cost: seconds of a core, and bytes of disk, roughly.

The rates are those of docs/performance.md, of cores of a server that are all at work. Other
machines are faster or slower by a factor, which `tsn repro` finds out while it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.operate.clips import Clips
from tsn.modality import modality
from tsn.snippets.crops import testing_crops

CELL_SECONDS = 4.0  # DVC, Python and PyTorch start
PAGE_SECONDS = 8.0  # and draw figures, or read a recogniser again
FRAME_SECONDS = 0.0002  # to decode one, to look at it
# By stream: seconds of an entry, and of each of its pixels.
STREAM_SECONDS = {
    "frames": (0.3e-3, 5e-9),
    "flow": (4.0e-3, 4.0e-7),
    "warped_flow": (4.5e-3, 4.6e-7),
}
STREAM_BYTES = {"frames": 0.32, "flow": 0.07, "warped_flow": 0.07}  # of a pixel
READ_SECONDS = (1e-4, 5e-9)  # an entry of a snippet, and each of its pixels
# A training step on an image of 224 x 224 pixels; a forward pass takes a quarter.
NETWORK_SECONDS = {
    "timm:tf_efficientnet_lite0": 0.04,
    "bn_inception": 0.07,
    "bn_inception_pytorch": 0.07,
    "bn_inception_quarter": 0.01,
}
OTHER_NETWORK_SECONDS = 0.14
FORWARD = 0.25
DRAWN_CLASSES, DRAWN_STEPS = 12, 180  # of `visualise`: at most, and steps at full size for each


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell by its parts; split and modality are None where its stage has none."""

    stage: str
    split: int | None = None
    modality: str | None = None


def cells_of(splits: Sequence[int], modalities: Sequence[str]) -> list[Cell]:
    """Return the cells of a dataset, as dvc.yaml has them."""
    first, others = modalities[0], ("check", "download", "split", "look", "pretrain")
    return [
        *(Cell(stage=stage) for stage in (*others, "report", "package")),
        Cell(stage="visualise", split=splits[0]),
        *(Cell(stage="extract", modality=name) for name in modalities),
        *(Cell(stage="fuse", split=split) for split in splits),
        *(Cell(stage="baseline", split=split, modality=first) for split in splits),
        *(
            Cell(stage=stage, split=split, modality=name)
            for stage in ("train", "score")
            for split in splits
            for name in modalities
        ),
    ]


def quick_cells(splits: Sequence[int], modalities: Sequence[str]) -> list[Cell]:
    """Return the cells of a first answer: the baseline of the first split and modality, and what
    it needs."""
    first = modalities[0]
    return [
        *(Cell(stage=stage) for stage in ("check", "download", "split", "pretrain")),
        Cell(stage="extract", modality=first),
        Cell(stage="baseline", split=splits[0], modality=first),
    ]


def seconds_of(cells: Iterable[Cell], recipe: Mapping[str, Any], clips: Clips, cores: int) -> float:
    """Return how long so many cores take for cells: no less than one core for the longest."""
    seconds = [core_seconds(cell, recipe, clips) for cell in cells]
    return max([sum(seconds) / cores, *seconds])


def core_seconds(cell: Cell, recipe: Mapping[str, Any], clips: Clips) -> float:
    """Return how long one core takes for a cell."""
    match cell.stage:
        case "split":
            return CELL_SECONDS + clips.frames * FRAME_SECONDS
        case "extract" if cell.modality:
            return CELL_SECONDS + clips.frames * entry_seconds(recipe, cell.modality)
        case "pretrain":
            return CELL_SECONDS + pretext_seconds(recipe)
        case "train" if cell.modality:
            return CELL_SECONDS + training_seconds(recipe, cell.modality)
        case "score" if cell.modality and cell.split:
            return CELL_SECONDS + scoring_seconds(recipe, cell.modality, clips, cell.split)
        case "baseline" if cell.modality and cell.split:
            return CELL_SECONDS + baseline_seconds(recipe, cell.modality, clips, cell.split)
        case "visualise":
            return PAGE_SECONDS + drawing_seconds(recipe, clips)
        case "fuse" | "report" | "package":
            return PAGE_SECONDS
    return CELL_SECONDS


def stream_bytes(recipe: Mapping[str, Any], modalities: Iterable[str], clips: Clips) -> float:
    """Return how much disk the streams of modalities take; what they share is kept once."""
    sizes = {}
    for name in modalities:
        stream = modality(name).stream
        each = pixels(recipe, name) * STREAM_BYTES[stream]
        sizes[stream, repr(recipe["extract"][name])] = clips.frames * each
    return sum(sizes.values())


def readable_size(size: float) -> str:
    """Return bytes as a person reads them: `56 MB`, `1.9 GB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def spoken(seconds: float) -> str:
    """Return a time as a person says it: `< 1 min`, `9 min`, `1 h 20 min`."""
    total = round(seconds / 60)
    if total < 1:
        return "< 1 min"
    if total < 60:
        return f"{total} min"
    return f"{total // 60} h {total % 60} min" if total < 600 else f"{round(total / 60)} h"


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number of things: `1 core`, `2 cores`."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def pixels(recipe: Mapping[str, Any], name: str) -> int:
    """Return the pixels of an entry of a modality's stream."""
    stream = recipe["extract"][name]
    return int(stream["width"] * stream["height"])


def entry_seconds(recipe: Mapping[str, Any], name: str) -> float:
    """Return how long an entry of a modality's stream takes to extract."""
    each, pixel = STREAM_SECONDS[modality(name).stream]
    return each + pixel * pixels(recipe, name)


def reading_seconds(recipe: Mapping[str, Any], name: str) -> float:
    """Return how long a snippet of a modality takes to read."""
    entry, pixel = READ_SECONDS
    return modality(name).snippet_length * (entry + pixel * pixels(recipe, name))


def step_seconds(backbone: str, input_size: int) -> float:
    """Return how long a training step takes for each image."""
    full = NETWORK_SECONDS.get(backbone, OTHER_NETWORK_SECONDS)
    return full * float(input_size / 224) ** 2


def pretext_seconds(recipe: Mapping[str, Any]) -> float:
    """Return how long initial weights take: where they are not trained, nothing."""
    config = recipe["init"].get("pretext")
    if config is None:
        return 0.0
    solver = config["solver"]
    images = solver["iterations"] * solver["batch_size"]
    return float(images * step_seconds(config["backbone"], config["input_size"]))


def training_seconds(recipe: Mapping[str, Any], name: str) -> float:
    """Return how long a training takes."""
    config = recipe["train"][name]
    solver, network = config["solver"], config["network"]
    snippets = solver["iterations"] * solver["batch_size"] * network["num_segments"]
    step = step_seconds(network["backbone"], config["input_size"])
    return float(snippets * (step + reading_seconds(recipe, name)))


def scoring_seconds(recipe: Mapping[str, Any], name: str, clips: Clips, split: int) -> float:
    """Return how long the test clips of a split take."""
    config, train = recipe["score"], recipe["train"][name]
    step = step_seconds(train["network"]["backbone"], train["input_size"])
    crops = len(testing_crops(config["crops"], 1, 1, 1))
    each = reading_seconds(recipe, name) + crops * FORWARD * step
    return float(len(clips.lists.test.get(split, ())) * config["snippets"] * each)


def baseline_seconds(recipe: Mapping[str, Any], name: str, clips: Clips, split: int) -> float:
    """Return how long the features of all clips of a split take."""
    config, (init,) = recipe["baseline"], recipe["init"].values()
    listed = len(clips.lists.train.get(split, ())) + len(clips.lists.test.get(split, ()))
    step = step_seconds(init.get("backbone", ""), config["input_size"])
    each = reading_seconds(recipe, name) + FORWARD * step
    return float(listed * config["snippets"] * each)


def drawing_seconds(recipe: Mapping[str, Any], clips: Clips) -> float:
    """Return how long pictures of what the networks look for take."""
    classes = min(DRAWN_CLASSES, len(clips.lists.classes))
    steps = (
        step_seconds(row["network"]["backbone"], row["input_size"])
        for row in recipe["train"].values()
    )
    return classes * DRAWN_STEPS * sum(steps)
