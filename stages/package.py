"""package: a dataset's networks, fused as the headline, as one recogniser of video files.

It is asked for a few test videos before it is done: their scores have to be those of the pipeline.
It is registered with MLflow as the challenger of the model of the dataset's name; where MLflow is
away, `python -m stages.operate.sync` does so later.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stages.runtime import command, params, provenance
from stages.runtime.checksums import read_digests
from stages.runtime.machine import Machine, choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import registry
from stages.tracking import runs as tracking
from stages.tracking import store as mlflow_store
from tsn.lists import read_list
from tsn.metrics import Accuracy, accuracy
from tsn.modality import modality
from tsn.model.checkpoint import load_card
from tsn.recogniser.folder import (
    PackageConfig,
    RecogniserCard,
    TestScores,
    load_recogniser_card,
    read_test_scores,
    save_recogniser,
)
from tsn.recogniser.recogniser import load_recogniser
from tsn.scoring.fusion import FusionConfig, common_videos, fuse, left_out
from tsn.scoring.score import ScoringConfig
from tsn.scoring.scores import VideoScores, load_scores
from tsn.streams.table import STREAMS, FramesConfig

NUM_COMPARED = 3  # test videos, those of the smallest files
# On one kind of device scores differ by less. Flow of a GPU differs from that of a CPU by more, but
# by less than this part of a video's spread; other frames, settings or networks by far more.
EQUAL, TOLERANCE = 1e-4, 0.01
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What params.yaml says about a dataset's recogniser."""

    split: int
    weights: Mapping[str, float]
    streams: Mapping[str, FramesConfig]
    testing: ScoringConfig


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = (
        "extract",
        "fusion",
        "package",
        "score",
    )
    params_sections = ("modalities",)

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    videos: Path = option("folder of <class>/<clip>")
    checksums: Path = input_path("video,bytes,sha256")
    lists: Path = input_path("folder of the split lists")
    models: Path = input_path("folder of <split>/<modality>")
    scores: Path = input_path("of <split>/<modality>.npz")
    out: Path = output_path("the recogniser's folder")


def main(options: Options) -> None:
    recipe = read_recipe(options.dataset)
    flow_code = Path("tsn").glob("tvl1*.py")  # imported by the first flow
    with provenance.unchanged(options, flow_code):
        cells = load_cells(options, recipe)
        listed = [row.video for row in read_list(options.lists / str(recipe.split) / "test.csv")]
        tests = fused_scores(cells, recipe, options.checksums)
        card = save_recogniser(
            options.out,
            models=model_folders(options, recipe),
            weights=recipe.weights,
            streams=recipe.streams,
            testing=recipe.testing,
            tests=tests,
            trained_on=training_digests(options, recipe),
        )
        compared = smallest(options.videos, tests.videos)
        difference = compare(options, tests, compared, read_machine())
    log_run(options, card, cells)
    try:
        if mlflow_store.tracking_is_on():
            register(options, card, challenge=True)
    except Exception as error:  # whatever it is, the recogniser is made
        logger.warning("not registered yet, `python -m stages.operate.sync` will: %s", error)
    if text := left_out(cells, listed):
        print(f"{options.dataset} split {card.split}: {text}")
    tell(options, card, len(compared), difference)


def read_recipe(dataset: str) -> Recipe:
    """The sections of a dataset that decide what is packaged."""
    recipe = params.load_recipe(dataset)
    fusion = params.section(recipe, "fusion", FusionConfig)
    weights = fusion.combinations[fusion.headline]
    return Recipe(
        split=params.section(recipe, "package", PackageConfig).split,
        weights=weights,
        streams={
            name: params.section(
                recipe,
                f"extract.{name}",
                STREAMS[modality(name).stream].config_class,
            )
            for name in weights
        },
        testing=params.section(recipe, "score", ScoringConfig),
    )


def model_folders(options: Options, recipe: Recipe) -> dict[str, Path]:
    """The folder of each network."""
    return {name: options.models / str(recipe.split) / name for name in recipe.weights}


def load_cells(options: Options, recipe: Recipe) -> dict[str, VideoScores]:
    """The scores that each network gave, on the videos that all of them could score."""
    cells = {}
    for name, folder in model_folders(options, recipe).items():
        path = options.scores / str(recipe.split) / f"{name}.npz"
        cells[name] = load_scores(path)
        if cells[name].model != load_card(folder).fingerprint:
            raise ValueError(
                f"{path}: not the scores of the network in {folder}; run the score stage of "
                f"{options.dataset} split {recipe.split} {name} again"
            )
    common = common_videos(cells)
    if not next(iter(common.values())).videos:
        raise ValueError(
            f"no test video of {options.dataset} split {recipe.split} has scores of all of "
            f"{', '.join(cells)}; see what their extraction set aside"
        )
    return common


def fused_scores(cells: Mapping[str, VideoScores], recipe: Recipe, checksums: Path) -> TestScores:
    """The pipeline's result on the test list."""
    first = next(iter(cells.values()))
    return TestScores(
        classes=first.classes,
        videos=first.videos,
        sha256=tuple(digests_of(first.videos, checksums)),
        labels=first.labels,
        scores=fuse(cells, recipe.weights),
    )


def training_digests(options: Options, recipe: Recipe) -> list[str]:
    """The SHA-256 of every video on the split's training list."""
    listed = read_list(options.lists / str(recipe.split) / "train.csv")
    return digests_of([row.video for row in listed], options.checksums)


def digests_of(videos: Sequence[str], checksums: Path) -> list[str]:
    """The SHA-256 of each video. ValueError for one that has none."""
    digests = read_digests(checksums)
    missing = [video for video in videos if video not in digests]
    if missing:
        raise ValueError(
            f"{checksums}: no checksum of {len(missing)} videos ({', '.join(missing[:3])}); run "
            "`dvc repro` for the whole chain"
        )
    return [digests[video] for video in videos]


def smallest(folder: Path, videos: Sequence[str]) -> list[str]:
    """The few videos of the smallest files, which are soon looked at."""
    return sorted(videos, key=lambda video: ((folder / video).stat().st_size, video))[:NUM_COMPARED]


def compare(options: Options, tests: TestScores, videos: Sequence[str], machine: Machine) -> float:
    """The greatest difference between the recogniser's scores of those videos and the pipeline's.

    A warning when they are not equal: no file says on what kind of device streams were extracted
    and scored, so whether another one is the reason cannot be known. ValueError when that cannot
    be the reason.
    """
    recogniser = load_recogniser(options.out, choose_device(machine))
    expected = dict(zip(tests.videos, tests.scores, strict=True))
    worst = 0.0
    for video in videos:
        found = recogniser.score(options.videos / video)
        difference = float(np.abs(found - expected[video]).max())
        text = (
            f"the recogniser's scores of {video} differ from the pipeline's by {difference:.3g}: "
            "was its stream extracted with other settings? Run `dvc repro` for the whole chain"
        )
        if not difference <= TOLERANCE * np.ptp(expected[video]):  # nor where it is no number
            raise ValueError(text)
        if difference > EQUAL:
            logger.warning("%s, unless it was on a GPU what here is on a CPU, or the reverse", text)
        worst = max(worst, difference)
    return worst


def log_run(
    options: Options,
    card: RecogniserCard,
    cells: Mapping[str, VideoScores],
    *,
    restored: bool = False,
) -> None:
    """The recogniser's run, tagged with the runs of the networks it fuses."""
    sources = {name: (cell.fingerprint, cell.model) for name, cell in cells.items()}
    with tracking.run(
        part="package",
        dataset=options.dataset,
        name=f"split{card.split} recogniser",
        key=run_key(card),
        params={
            "package": {"split": card.split, "combination": card.combination},
            "weights": {member.modality: member.weight for member in card.members},
        },
        tags={
            "dataset": options.dataset,
            "split": str(card.split),
            "modality": "recogniser",
            **tracking.source_tags(options.dataset, sources),
        },
        results=str(options.out),
        restored=restored,
    ) as run:
        result = asdict(test_accuracy(options.out))
        run.log_metrics({f"test/{name}": value for name, value in result.items()})


def register(options: Options, card: RecogniserCard, *, challenge: bool) -> None:
    """Registers the recogniser, as `registry.register` says.

    OSError when MLflow did not take it, or its run.
    """
    run = tracking.require_logged(options.dataset, run_key(card), "package")
    version = registry.register(options.dataset, options.out, run.run_id, challenge=challenge)
    challenger = registry.find(options.dataset, registry.CHALLENGER)
    print(f"{version} is {'the challenger' if version == challenger else 'registered'}")


def run_key(card: RecogniserCard) -> dict[str, str]:
    """What the recogniser's run is found by."""
    return {"stage": "package", "fingerprint": card.fingerprint}


def test_accuracy(bundle: Path) -> Accuracy:
    """That of the recogniser on its split's test list."""
    tests = read_test_scores(bundle)
    return accuracy(tests.scores, tests.labels)


def tell(options: Options, card: RecogniserCard, num_compared: int, difference: float) -> None:
    """What was made and how it is used."""
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    tests = read_test_scores(options.out)
    result = test_accuracy(options.out)
    print(f"{options.out}: {card.combination} of split {card.split}, {size / 1e6:.0f} MB")
    print(
        f"  {result.mean_class_accuracy:.1%} mean class accuracy on its {len(tests.videos)} test "
        f"videos; the {num_compared} smallest give the pipeline's scores to {difference:.1g}"
    )
    program = "python -m stages.operate"
    print(f"  recognise a video     {program}.recognise clip.avi --model {options.out}")
    print(f"  make it the champion  {program}.promote --dataset {options.dataset}")


def track(options: Options) -> bool:
    """Registers a finished recogniser from its folder; False when it is there already.

    A version that was there does not become the challenger again: a newer one may be that.
    """
    card = load_recogniser_card(options.out)
    is_logged = tracking.is_logged(options.dataset, run_key(card), "package")
    if is_logged and registry.is_registered(options.dataset, card.fingerprint):
        return False
    if not is_logged:
        cells = load_cells(options, read_recipe(options.dataset))
        log_run(options, card, cells, restored=True)
    register(options, card, challenge=False)
    return True


if __name__ == "__main__":
    command.run(__doc__, Options, main)
