"""What came of one side of a comparison, and what it was made with.

A commit is read from git, DVC's cache or its remote, into a temporary folder; a version from
MLflow. Nothing in the checkout is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.operate import revisions
from stages.operate.made_with import recipe_of_results
from stages.reporting import results
from stages.reporting.results import Row
from stages.reporting.two_sides import Side
from stages.runtime import params
from stages.runtime.places import DVC_LOCK, DatasetPaths
from stages.tracking import registry, versions
from stages.tracking.entries import flatten_params
from stages.tracking.registry import Version
from tsn.lists import read_digests
from tsn.metrics import accuracy
from tsn.names import first_few
from tsn.recogniser.card import ReferenceScores, read_test_scores
from tsn.records import RecordError
from tsn.scoring.fusion import FusionConfig, common_videos, describe_row, fuse
from tsn.scoring.scores import VideoScores, load_scores


def read_commit(name: str, what: str, commit: str, dataset: str, root: Path) -> Side:
    """Return what came of a commit, from git, DVC's cache or its remote."""
    wanted = (str(params.PARAMS), str(params.recipe_path(dataset)))
    with (
        TemporaryDirectory() as temporary,
        revisions.copying(commit, root, Path(temporary)) as copy,
    ):
        folder = Path(temporary)
        copy(wanted)
        if absent := [path for path in wanted if not (folder / path).is_file()]:
            raise ValueError(
                f"{name} ({what}) has no {absent[0]}; if it is in the "
                f"checkout, commit it first: git add params.yaml recipes dvc.lock metrics"
            )
        try:
            missing = copy(_result_files(folder, dataset))
            side = read_folder(name, what, folder, dataset)
        except RecordError as error:
            told = str(error).replace(f"{folder}/", "")
            raise ValueError(f"{name} ({what}) cannot be read by this code: {told}") from error
    if missing:
        paths = sorted(missing)
        note = f"{name}: {first_few(paths, 1)} missing: {missing[paths[0]]}. "
        note += "`dvc fetch --all-commits` or `dvc exp pull` brings what a remote has"
        side = replace(side, notes=(note, *side.notes))
    return side


def _result_files(folder: Path, dataset: str) -> list[str]:
    """Return the results that are compared, as the params.yaml in the folder has them."""
    settings = params.load(folder / params.PARAMS)
    splits = params.section(settings, "splits", tuple[int, ...])
    modalities = params.section(settings, "modalities", tuple[str, ...])
    paths = DatasetPaths(dataset)
    scores = [paths.scores / f"{split}/{name}.npz" for split in splits for name in modalities]
    metrics = [paths.mean, *map(paths.split_metrics, splits)]
    return list(map(str, [DVC_LOCK, *metrics, *scores, paths.checksums]))


def read_folder(name: str, what: str, folder: Path, dataset: str) -> Side:
    """Return what came of the pipeline in a folder of a project, as far as it is there."""
    selection = params.load(folder / params.PARAMS)
    chosen = {key: selection.values.get(key) for key in ("splits", "modalities")}
    splits = params.section(selection, "splits", tuple[int, ...])
    modalities = params.section(selection, "modalities", tuple[str, ...])
    recipe, note = recipe_of_results(folder, dataset, splits, modalities)
    fusion = params.section(recipe, "fusion", FusionConfig)
    headline = fusion.headline_of(modalities)
    weights = fusion.rows(modalities)
    paths = DatasetPaths(dataset, folder)
    known = _Reader(name, paths)
    cells = {k: known.cells(k, modalities) for k in splits}
    found = {k: row for k, row in cells.items() if row}
    metrics = {
        k: known.rows(paths.split_metrics(k)) or _measure(found.get(k, {}), weights) for k in splits
    }
    return Side(
        name=name,
        what=what,
        settings=flatten_params({**chosen, **recipe.values}),
        knows_all_settings=True,
        headline=headline,
        description=describe_row(headline, weights[headline]),
        mean=known.rows(paths.mean),
        splits={k: rows for k, rows in metrics.items() if rows},
        tests={k: known.tests(row, weights[headline]) for k, row in found.items()},
        notes=(*([f"{name}: {note}"] if note else []), *known.notes),
    )


def _measure(
    cells: Mapping[str, VideoScores], rows: Mapping[str, Mapping[str, float]]
) -> dict[str, Row]:
    """Return the rows of a split whose metrics git does not have, from its scores; no tags."""
    if not cells:
        return {}
    labels = next(iter(cells.values())).labels
    measured = {name: accuracy(fuse(cells, weights), labels) for name, weights in rows.items()}
    return {name: Row(**asdict(found), by_tag={}) for name, found in measured.items()}


@dataclass(frozen=True)
class _Reader:
    """Reads the results of a dataset. What cannot be read is noted, and left out."""

    name: str
    paths: DatasetPaths
    notes: list[str] = field(default_factory=list)

    def rows(self, path: Path) -> dict[str, Row]:
        """Return the rows of a metrics file; none without it."""
        try:
            return results.read_rows(path) if path.is_file() else {}
        except ValueError as error:
            self.notes.append(f"{self.name}: {error}")
            return {}

    def cells(self, split: int, modalities: Sequence[str]) -> dict[str, VideoScores]:
        """Return a split's scores by modality, of the videos that all have; none if some lack."""
        folder = self.paths.scores / str(split)
        paths = {name: folder / f"{name}.npz" for name in modalities}
        if not all(path.is_file() for path in paths.values()):
            return {}
        try:
            return common_videos({name: load_scores(path) for name, path in paths.items()})
        except ValueError as error:
            self.notes.append(f"{self.name}: {error}")
            return {}

    def tests(
        self, cells: Mapping[str, VideoScores], weights: Mapping[str, float]
    ) -> ReferenceScores:
        """Return the fused scores of a split's test videos."""
        cell, digests = next(iter(cells.values())), self._digests()
        return ReferenceScores(
            classes=cell.classes,
            videos=cell.videos,
            sha256=tuple(digests.get(video, "") for video in cell.videos),
            labels=cell.labels,
            scores=fuse(cells, weights),
        )

    def _digests(self) -> dict[str, str]:
        path = self.paths.checksums
        return read_digests(path) if path.is_file() else {}


def read_version(name: str, what: str, version: Version) -> Side:
    """Return what a registered version was tested with, and what is known of its networks."""
    from tsn.recogniser.folder import load_recogniser_card  # loads PyTorch

    with TemporaryDirectory() as folder:
        recogniser = registry.fetch(version, Path(folder))
        card, tests = load_recogniser_card(recogniser), read_test_scores(recogniser)
    row = Row(**asdict(accuracy(tests.scores, tests.labels)), by_tag={})
    return Side(
        name=name,
        what=f"{what}, of split {card.split}",
        settings=versions.find_settings(version),
        knows_all_settings=False,
        headline=card.combination,
        description=card.description,
        mean={card.combination: row},
        splits={card.split: {card.combination: row}},
        tests={card.split: tests},
        notes=(),
    )
