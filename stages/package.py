"""package: a dataset's networks, fused as the headline, as one recogniser of video files.

It is asked for a few test videos before it is done: their scores have to be those of the pipeline.
`tsn sync` registers it with MLflow, as the challenger of the model of the dataset's name.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.runtime import command, params, provenance
from stages.runtime.machine import choose_device, read_machine
from stages.runtime.options import StageOptions, input_path, option, output_path
from stages.tracking import registry, runs, store
from stages.tracking.data_sets import CONTEXTS, listed_data
from stages.tracking.made import read_note, write_note
from tsn.lists import read_digests
from tsn.metrics import accuracy
from tsn.modality import modality
from tsn.recogniser.calibration import LEAST_VIDEOS, Calibration
from tsn.recogniser.card import PackageConfig, RecogniserCard, read_test_scores
from tsn.recogniser.folder import load_recogniser_card
from tsn.recogniser.package import (
    NUM_COMPARED,
    RecogniserParts,
    greatest_difference,
    load_cells,
    package,
)
from tsn.scoring.fusion import FusionConfig, left_out
from tsn.scoring.scores import VideoScores
from tsn.scoring.settings import ScoringConfig
from tsn.streams.table import STREAMS


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    recipe_sections = ("extract", "fusion", "package", "score")
    params_sections = ("modalities", "splits")

    dataset: str = option("a recipe: recipes/<dataset>.yaml")
    videos: Path = input_path("folder of <class>/<clip>")
    checksums: Path = input_path("video,bytes,sha256")
    lists: Path = input_path("folder of the split lists")
    models: Path = input_path("folder of <split>/<modality>")
    scores: Path = input_path("of <split>/<modality>.npz")
    out: Path = output_path("the recogniser's folder")


def main(options: Options) -> None:
    parts = recogniser_parts(options)
    flow_code = Path("tsn/flow").glob("*.py")  # imported by the first flow
    with provenance.unchanged(options, flow_code):
        cells = load_cells(parts)
        listed = parts.listed("test")
        others = [recogniser_parts(options, split) for split in other_splits(options, parts.split)]
        card = package(options.out, parts, cells, read_digests(options.checksums), others)
        device = choose_device(read_machine())
        difference = greatest_difference(options.out, options.videos, device)
    write_note(card.fingerprint)
    if text := left_out(cells, listed):
        print(f"{options.dataset} split {card.split}: {text}")
    print_summary(options, card, difference)
    command.log_finished()


def other_splits(options: Options, packaged: int) -> list[int]:
    """Return the splits whose networks calibrate the recogniser: all others that are scored."""
    splits = params.section(params.load(), "splits", tuple[int, ...])
    return [k for k in splits if k != packaged and (options.scores / str(k)).is_dir()]


def recogniser_parts(options: Options, split: int | None = None) -> RecogniserParts:
    """Return what the recipe makes the dataset's recogniser of; split: one of another split."""
    recipe = params.load_recipe(options.dataset)
    split = split or params.section(recipe, "package", PackageConfig).split
    modalities = params.section(params.load(), "modalities", tuple[str, ...])
    fusion = params.section(recipe, "fusion", FusionConfig)
    headline = fusion.headline_of(modalities)
    weights = fusion.rows(modalities)[headline]
    classes = {name: STREAMS[modality(name).stream].config_class for name in weights}
    return RecogniserParts(
        dataset=options.dataset,
        split=split,
        combination=headline,
        weights=weights,
        streams={
            name: params.section(recipe, f"extract.{name}", cls) for name, cls in classes.items()
        },
        testing=params.section(recipe, "score", ScoringConfig),
        models=options.models / str(split),
        scores=options.scores / str(split),
        lists=options.lists / str(split),
    )


def log_run(options: Options, card: RecogniserCard, cells: Mapping[str, VideoScores]) -> None:
    """Log the recogniser's run, tagged with the runs of the networks it fuses."""
    sources = {name: (cell.fingerprint, cell.model) for name, cell in cells.items()}
    tests = read_test_scores(options.out)
    with runs.run(
        part="package",
        dataset=options.dataset,
        name=f"split{card.split} recogniser",
        key=run_key(card),
        params={
            "package": {"split": card.split, "combination": card.combination},
            "weights": card.weights,
        },
        tags={
            "dataset": options.dataset,
            "split": str(card.split),
            "modality": "recogniser",
            **runs.source_tags(options.dataset, sources),
        },
        results=str(options.out),
        made=read_note(card.fingerprint),
    ) as run:
        result = asdict(accuracy(tests.scores, tests.labels))
        run.log_metrics({f"test/{name}": value for name, value in result.items()})
        for side in CONTEXTS:
            path = options.lists / str(card.split) / side
            run.log_dataset(listed_data(options.dataset, card.split, path))


def register(options: Options, card: RecogniserCard) -> None:
    """Register the recogniser, as `registry.register` says.

    Raises OSError when MLflow did not take it, or its run.
    """
    run = runs.require_logged(options.dataset, run_key(card), "package")
    version = registry.register(options.dataset, options.out, run.run_id)
    challenger = registry.find(options.dataset, registry.CHALLENGER)
    print(f"{version} is {'the challenger' if version == challenger else 'registered'}")


def run_key(card: RecogniserCard) -> dict[str, str]:
    """Return what the recogniser's run is found by."""
    return {"stage": "package", "fingerprint": card.fingerprint}


def print_summary(options: Options, card: RecogniserCard, difference: float) -> None:
    """Say what was made and how it is used."""
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    tests = read_test_scores(options.out)
    result, videos = accuracy(tests.scores, tests.labels), len(tests.videos)
    print(f"{options.out}: {card.description}")
    print(f"  of split {card.split}, {size / 1e6:.0f} MB")
    print(f"  {result.mean_class_accuracy:.1%} mean class accuracy on its {videos} test videos")
    print(f"  {comparison_line(min(NUM_COMPARED, videos), difference)}")
    print(f"  {calibration_line(card.calibration)}")
    print(f"  recognise a video     tsn recognise clip.avi --model {options.out}")
    print(f"  make it the champion  tsn promote {options.dataset}")


def comparison_line(compared: int, difference: float) -> str:
    """Say how near its scores of test videos' files are to those that the pipeline gave them."""
    found = (
        f"differ from the pipeline's by {difference:.0e}" if difference else "are the pipeline's"
    )
    return f"checked on the files of {compared} of them: its scores {found}"


def calibration_line(calibration: Calibration | None) -> str:
    """Say by what scores become probabilities, and how good these are."""
    if calibration is None:
        return (
            "no probabilities: they are fitted on test videos of other splits that are run, at "
            f"least {LEAST_VIDEOS}"
        )
    splits = ", ".join(map(str, calibration.splits))
    return (
        f"probabilities at temperature {calibration.temperature:.2f}, by {calibration.videos} "
        f"videos of splits {splits}; calibration error {calibration.ece_before:.1%} before, "
        f"{calibration.ece_after:.1%} after"
    )


def track(options: Options) -> bool:
    """Register a recogniser from its folder; return False when it is there already.

    In a copy that DVC made for an experiment only its run is logged: the recogniser is registered
    once the experiment is applied.
    """
    card = load_recogniser_card(options.out)
    is_logged = runs.is_logged(options.dataset, run_key(card), "package")
    if is_logged and (
        store.is_experiment() or registry.is_registered(options.dataset, card.fingerprint)
    ):
        return False
    if not is_logged:
        log_run(options, card, load_cells(recogniser_parts(options)))
    if not store.is_experiment():
        register(options, card)
    return True


if __name__ == "__main__":
    command.run(__doc__, Options, main)
