"""package: a dataset's networks, fused as the headline, as one recogniser of video files.

It is asked for one test video before it is done: its scores have to be those of the pipeline. It is
registered with MLflow as the challenger of the model of the dataset's name; where MLflow is away,
`python -m stages.sync` does so later.
"""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stages import command, mlflow_store, params, provenance, registry, tracking
from stages.checksums import read_digests
from stages.machine import Machine, choose_device
from tsn.checkpoint import load_card
from tsn.fusion import FusionConfig, common_videos, fuse
from tsn.lists import read_list
from tsn.metrics import Accuracy, accuracy
from tsn.modality import modality
from tsn.recogniser import (
    PackageConfig,
    RecogniserCard,
    TestScores,
    load_recogniser,
    load_recogniser_card,
    read_test_scores,
    save_recogniser,
)
from tsn.score_file import VideoScores, load_scores
from tsn.scoring import ScoringConfig
from tsn.streams import STREAMS, FramesConfig

# Of the spread of a video's scores. Equal machines give equal bits; flow of a GPU differs from that
# of a CPU by less; other frames, settings or networks by far more.
TOLERANCE = 0.01
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What params.yaml says about a dataset's recogniser."""

    split: int
    weights: Mapping[str, float]
    streams: Mapping[str, FramesConfig]
    testing: ScoringConfig


def main(args: argparse.Namespace) -> None:
    content = params.load()
    recipe = read_recipe(content, args.dataset)
    folders = [args.lists, args.models, args.scores]
    sections = [
        f"recipes.{args.dataset}.extract",
        f"recipes.{args.dataset}.fusion",
        f"recipes.{args.dataset}.package",
        f"recipes.{args.dataset}.score",
    ]
    flow_code = Path("tsn").glob("tvl1*.py")  # imported by the first flow
    with provenance.unchanged(sections, [*folders, args.checksums, *flow_code]):
        cells = load_cells(args, recipe)
        tests = fused_scores(cells, recipe, args.checksums)
        card = save_recogniser(
            args.out,
            models=model_folders(args, recipe),
            weights=recipe.weights,
            streams=recipe.streams,
            testing=recipe.testing,
            tests=tests,
            trained_on=training_digests(args, recipe),
        )
        difference = compare(args, tests, params.section(content, "machine", Machine))
    log_run(args, card, cells)
    try:
        if mlflow_store.tracking_is_on():
            register(args, card)
    except OSError as error:
        logger.warning("not registered yet, `python -m stages.sync` will: %s", error)
    tell(args, card, difference)


def read_recipe(content: params.Content, dataset: str) -> Recipe:
    """The sections of a dataset that decide what is packaged."""
    recipe = f"recipes.{dataset}"
    fusion = params.section(content, f"{recipe}.fusion", FusionConfig)
    weights = fusion.combinations[fusion.headline]
    return Recipe(
        split=params.section(content, f"{recipe}.package", PackageConfig).split,
        weights=weights,
        streams={
            name: params.section(
                content,
                f"{recipe}.extract.{name}",
                STREAMS[modality(name).stream].config_class,
            )
            for name in weights
        },
        testing=params.section(content, f"{recipe}.score", ScoringConfig),
    )


def model_folders(args: argparse.Namespace, recipe: Recipe) -> dict[str, Path]:
    """The folder of each network."""
    return {name: args.models / str(recipe.split) / name for name in recipe.weights}


def load_cells(args: argparse.Namespace, recipe: Recipe) -> dict[str, VideoScores]:
    """The scores that each network gave, on the videos that all of them could score."""
    cells = {}
    for name, folder in model_folders(args, recipe).items():
        path = args.scores / str(recipe.split) / f"{name}.npz"
        cells[name] = load_scores(path)
        if cells[name].model != load_card(folder).fingerprint:
            raise ValueError(
                f"{path}: not the scores of the network in {folder}; run the score stage of "
                f"{args.dataset} split {recipe.split} {name} again"
            )
    return common_videos(cells)


def fused_scores(cells: Mapping[str, VideoScores], recipe: Recipe, checksums: Path) -> TestScores:
    """The pipeline's result on the test list."""
    first = next(iter(cells.values()))
    digests = read_digests(checksums)
    return TestScores(
        classes=first.classes,
        videos=first.videos,
        sha256=tuple(digests[video] for video in first.videos),
        labels=first.labels,
        scores=fuse(cells, recipe.weights),
    )


def training_digests(args: argparse.Namespace, recipe: Recipe) -> list[str]:
    """The SHA-256 of every video on the split's training list."""
    listed = read_list(args.lists / str(recipe.split) / "train.csv")
    digests = read_digests(args.checksums)
    return [digests[row.video] for row in listed]


def compare(args: argparse.Namespace, tests: TestScores, machine: Machine) -> float:
    """The greatest difference between the recogniser's scores of a test video and the pipeline's.

    ValueError when they are not the same scores.
    """
    recogniser = load_recogniser(args.out, choose_device(machine))
    found, expected = recogniser.score(args.videos / tests.videos[0]), tests.scores[0]
    difference = float(np.abs(found - expected).max())
    if difference > TOLERANCE * np.ptp(expected):
        raise ValueError(
            f"the recogniser's scores of {tests.videos[0]} differ from the pipeline's by "
            f"{difference:.3g}: was its stream extracted with other settings? Run `dvc repro` for "
            "the whole chain"
        )
    return difference


def log_run(
    args: argparse.Namespace,
    card: RecogniserCard,
    cells: Mapping[str, VideoScores],
    *,
    restored: bool = False,
) -> None:
    """The recogniser's run, tagged with the runs of the networks it fuses."""
    sources = {name: (cell.fingerprint, cell.model) for name, cell in cells.items()}
    with tracking.run(
        part="package",
        dataset=args.dataset,
        name=f"split{card.split} recogniser",
        key=run_key(card),
        params={
            "package": {"split": card.split, "combination": card.combination},
            "weights": {member.modality: member.weight for member in card.members},
        },
        tags={
            "dataset": args.dataset,
            "split": str(card.split),
            "modality": "recogniser",
            **tracking.source_tags(args.dataset, sources),
        },
        results=str(args.out),
        restored=restored,
    ) as run:
        result = asdict(test_accuracy(args.out))
        run.log_metrics({f"test/{name}": value for name, value in result.items()})


def register(args: argparse.Namespace, card: RecogniserCard) -> None:
    """Makes the recogniser the challenger. OSError when MLflow did not take it, or its run."""
    tracking.require_logged(args.dataset, run_key(card), "package")
    (found, *_) = tracking.find_runs(args.dataset, run_key(card))
    version = registry.register(args.dataset, args.out, found.run_id)
    print(f"{version} is the {registry.CHALLENGER}")


def run_key(card: RecogniserCard) -> dict[str, str]:
    """What the recogniser's run is found by."""
    return {"stage": "package", "fingerprint": card.fingerprint}


def test_accuracy(bundle: Path) -> Accuracy:
    """That of the recogniser on its split's test list."""
    tests = read_test_scores(bundle)
    return accuracy(tests.scores, tests.labels)


def tell(args: argparse.Namespace, card: RecogniserCard, difference: float) -> None:
    """What was made and how it is used."""
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    tests = read_test_scores(args.out)
    result = test_accuracy(args.out)
    print(f"{args.out}: {card.combination} of split {card.split}, {size / 1e6:.0f} MB")
    print(
        f"  {result.mean_class_accuracy:.1%} mean class accuracy on its {len(tests.videos)} test "
        f"videos; {tests.videos[0]} gives the pipeline's scores to {difference:.1g}"
    )
    print(f"  recognise a video     python -m stages.recognise clip.avi --model {args.out}")
    print(f"  make it the champion  python -m stages.promote --dataset {args.dataset}")


def track(args: argparse.Namespace) -> bool:
    """Registers a finished recogniser from its folder; False when it is the challenger already."""
    card = load_recogniser_card(args.out)
    is_logged = tracking.is_logged(args.dataset, run_key(card), "package")
    challenger = registry.find(args.dataset, registry.CHALLENGER)
    if is_logged and challenger is not None and challenger.fingerprint == card.fingerprint:
        return False
    if not is_logged:
        cells = load_cells(args, read_recipe(params.load(), args.dataset))
        log_run(args, card, cells, restored=True)
    register(args, card)
    return True


def arguments() -> argparse.ArgumentParser:
    """The stage's command line."""
    parser = argparse.ArgumentParser(
        prog="package", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a recipe of params.yaml")
    parser.add_argument("--videos", required=True, type=Path, help="folder of <class>/<clip>")
    parser.add_argument("--checksums", required=True, type=Path, help="video,bytes,sha256")
    parser.add_argument("--lists", required=True, type=Path, help="folder of the split lists")
    parser.add_argument("--models", required=True, type=Path, help="folder of <split>/<modality>")
    parser.add_argument("--scores", required=True, type=Path, help="of <split>/<modality>.npz")
    parser.add_argument("--out", required=True, type=Path, help="out: the recogniser's folder")
    return parser


if __name__ == "__main__":
    command.run(arguments(), main)
