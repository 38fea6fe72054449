"""The package stage on a toy dataset: what it bundles, registers and refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from recognisers import (
    CLASSES,
    STREAM_CONFIGS,
    TESTING,
    write_models,
    write_recogniser,
)
from ruamel.yaml import YAML
from videos import write_wandering
from workspace import ROOT

from stages import package
from stages.runtime.places import MADE
from stages.tracking import logged_model, registry, runs, store
from tsn.files import file_sha256, write_csv
from tsn.lists import ListedVideo, SplitLists, write_splits
from tsn.recogniser.calibration import calibration_error, fit_temperature, softmax
from tsn.recogniser.card import read_test_scores, read_trained_on
from tsn.recogniser.folder import load_recogniser_card
from tsn.recogniser.package import smallest
from tsn.recogniser.recogniser import load_recogniser
from tsn.scoring.fusion import fuse
from tsn.scoring.scores import VideoScores, load_scores, save_scores
from tsn.sources.folder import checksum_rows

WEIGHTS = {"rgb": 1.0, "rgb_diff": 0.5}
SPLIT = 2
RECIPE = Path("recipes/toy.yaml")
TRAIN, TEST = ("walk/1.avi", "run/1.avi"), ("walk/2.avi", "run/2.avi")


def write_params(folder: Path) -> None:
    yaml = YAML(typ="safe", pure=True)
    shutil.copy(ROOT / "params.yaml", folder)
    recipe = yaml.load(ROOT / "recipes/synthetic.yaml")
    for name in WEIGHTS:
        recipe["extract"][name] = dict(vars(STREAM_CONFIGS[name]))
    recipe["score"] = dict(vars(TESTING))
    recipe["fusion"] = {"headline": "both", "combinations": {"both": WEIGHTS}, "learned": False}
    recipe["package"] = {"split": SPLIT}
    (folder / "recipes").mkdir()
    yaml.dump(recipe, folder / RECIPE)


def write_cells(folder: Path, models: dict[str, Path]) -> None:
    """The scores of each network on the test list, by a recogniser of it alone."""
    for name in WEIGHTS:
        write_recogniser(folder / name, weights={name: 1.0})
        alone = load_recogniser(folder / name, torch.device("cpu"))
        alone._networks[name].load_state_dict(load_state(models[name]))
        scores = np.stack([alone.score(folder / "data/videos" / video) for video in TEST])
        cell = VideoScores(
            dataset="toy",
            split=SPLIT,
            modality=name,
            model=f"{name} 1",
            fingerprint=f"scores of {name}",
            classes=CLASSES,
            videos=TEST,
            labels=np.array([0, 1]),
            snippets=scores[:, None],
            scores=scores,
        )
        save_scores(cell, folder / "scores" / str(SPLIT) / f"{name}.npz")


def load_state(model: Path) -> dict[str, torch.Tensor]:
    from tsn.model.checkpoint import load_model

    return dict(load_model(model)[0].state_dict())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose other stages are done; tests work on copies."""
    folder = tmp_path_factory.mktemp("project")
    write_params(folder)
    for seed, video in enumerate((*TRAIN, *TEST), start=1):
        write_wandering(folder / "data/videos" / video, 8, seed=seed)
    rows = checksum_rows(folder / "data/videos", sorted((*TRAIN, *TEST)))
    write_csv(folder / "data/videos.csv", ("video", "bytes", "sha256"), rows)
    listed = [
        tuple(ListedVideo(video, label, "g", ()) for label, video in enumerate(side))
        for side in (TRAIN, TEST)
    ]
    lists = SplitLists(classes=CLASSES, train={SPLIT: listed[0]}, test={SPLIT: listed[1]})
    write_splits(lists, folder / "data/splits")
    write_cells(folder, write_models(folder / "models" / str(SPLIT), list(WEIGHTS)))
    return folder


@pytest.fixture
def options(project: Path, mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> package.Options:
    """The options of the stage in a project whose other stages are done."""
    shutil.copytree(project, mlflow_folder, dirs_exist_ok=True)
    monkeypatch.chdir(mlflow_folder)
    return package.Options(
        dataset="toy",
        videos=Path("data/videos"),
        checksums=Path("data/videos.csv"),
        lists=Path("data/splits"),
        models=Path("models"),
        scores=Path("scores"),
        out=Path("recognisers/toy"),
    )


def test_a_recogniser_is_bundled_registered_and_told(
    options: package.Options, capsys: pytest.CaptureFixture[str]
) -> None:
    package.main(options)
    assert registry.find("toy", registry.CHALLENGER) is None  # sync does that
    assert package.track(options)
    out = capsys.readouterr().out
    assert "models:/toy/1 is the challenger" in out
    assert "recognisers/toy: both: rgb + 0.5 rgb_diff\n  of split 2, " in out
    assert "% mean class accuracy on its 2 test videos\n" in out
    assert "  checked on the files of 2 of them: its scores " in out
    tests = read_test_scores(options.out)
    assert tests.videos == TEST
    assert tests.sha256 == tuple(file_sha256(options.videos / video) for video in TEST)
    assert read_trained_on(options.out) == {file_sha256(options.videos / video) for video in TRAIN}
    recogniser = load_recogniser(options.out, torch.device("cpu"))
    for video, scores in zip(TEST, tests.scores, strict=True):
        np.testing.assert_allclose(recogniser.score(options.videos / video), scores, atol=1e-4)
    challenger = registry.find("toy", registry.CHALLENGER)
    assert challenger is not None and challenger.fingerprint == recogniser.card.fingerprint
    assert challenger.tags["combination"] == "both: rgb + 0.5 rgb_diff"
    (run,) = runs.find_runs("toy", {"stage": "package"})
    assert run.run_id == challenger.run_id
    assert run.params["weights.rgb_diff"] == "0.5"
    assert run.metrics["test/top1"] == float(challenger.tags["test.top1"])
    assert "restored" not in run.tags
    assert not package.track(options)
    package.main(options)  # by hand, over what is there
    assert not package.track(options)
    assert registry.find("toy", registry.CHALLENGER) == challenger


def test_the_result_may_be_one_modality(
    options: package.Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its recogniser has that network alone, and takes the place of one that fuses."""
    package.main(options)
    package.track(options)
    registry.promote(registry.find_number("toy", "1"))
    yaml = YAML(typ="safe", pure=True)
    recipe = yaml.load(RECIPE)
    recipe["fusion"]["headline"] = "rgb_diff"
    yaml.dump(recipe, RECIPE)
    package.main(options)
    assert "recognisers/toy: rgb_diff\n  of split 2, " in capsys.readouterr().out
    card = load_recogniser_card(options.out)
    assert (card.combination, card.weights) == ("rgb_diff", {"rgb_diff": 1.0})
    assert not (options.out / "rgb").exists()
    expected = load_scores(options.scores / str(SPLIT) / "rgb_diff.npz").scores
    np.testing.assert_array_equal(read_test_scores(options.out).scores, expected)
    package.track(options)
    challenger = registry.find("toy", registry.CHALLENGER)
    assert challenger is not None and challenger.fingerprint == card.fingerprint
    registry.promote(challenger)
    champion, previous = (registry.find("toy", a) for a in (registry.CHAMPION, registry.PREVIOUS))
    assert champion is not None and champion.tags["combination"] == "rgb_diff"
    assert previous is not None and previous.tags["combination"] == "both: rgb + 0.5 rgb_diff"


def test_mlflow_away_is_an_oserror_and_the_next_sync_registers(
    options: package.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.main(options)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(OSError, match=r"127.0.0.1:9 did not take it"):
            package.track(options)
    assert registry.find("toy", registry.CHALLENGER) is None
    assert package.track(options)
    challenger = registry.find("toy", registry.CHALLENGER)
    assert challenger is not None and challenger.number == "1"
    assert not package.track(options)


def test_a_recogniser_that_was_made_elsewhere_claims_no_commit(options: package.Options) -> None:
    package.main(options)
    shutil.rmtree(MADE)
    assert package.track(options)
    (run,) = runs.find_runs("toy", {"stage": "package"})
    assert run.tags["restored"] == "true"
    assert not any("commit" in tag for tag in run.tags)


def test_sync_leaves_the_alias_to_the_newer_one(options: package.Options) -> None:
    """Two checkouts on one store."""
    package.main(options)
    package.track(options)
    other = options.out.parent / "newer/toy"
    video = next(options.videos.rglob("*.avi"))
    write_recogniser(other, [video], weights={"rgb": 1.0}, seed=3)
    run_id = runs.find_runs("toy", {"stage": "package"})[0].run_id
    newer = registry.register("toy", other, run_id)
    assert not package.track(options)
    assert registry.find("toy", registry.CHALLENGER) == newer
    client = store.connect()
    client.delete_run(run_id)  # what is missing is logged again, and the alias stays
    assert package.track(options)
    assert registry.find("toy", registry.CHALLENGER) == newer


def test_a_lock_file_without_a_pin_is_an_oserror(
    options: package.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.main(options)
    monkeypatch.setattr(logged_model, "SERVED_WITH", (*logged_model.SERVED_WITH, "nonesuch"))
    with pytest.raises(OSError, match="pins no nonesuch"):
        package.track(options)


def write_other_split(project: Path, split: int, videos: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The networks and made-up scores of another split; returns the videos' labels."""
    generator = np.random.default_rng(split)
    labels = generator.integers(len(CLASSES), size=len(videos))
    for name in WEIGHTS:
        models = project / "models"
        shutil.copytree(models / str(SPLIT) / name, models / str(split) / name)
        noise = generator.normal(size=(len(videos), len(CLASSES)))
        scores = (np.eye(len(CLASSES))[labels] + noise).astype(np.float32)
        cell = replace(
            load_scores(project / "scores" / str(SPLIT) / f"{name}.npz"),
            split=split,
            videos=videos,
            labels=labels,
            snippets=scores[:, None],
            scores=scores,
        )
        save_scores(cell, project / "scores" / str(split) / f"{name}.npz")
    return labels


def test_it_is_calibrated_by_the_other_splits_and_not_by_its_own_test_videos(
    options: package.Options, capsys: pytest.CaptureFixture[str]
) -> None:
    package.main(options)
    assert (
        "no probabilities: they are fitted on test videos of other splits"
        in capsys.readouterr().out
    )
    assert load_recogniser_card(options.out).calibration is None
    videos = (*(f"walk/{number}.avi" for number in range(10, 50)), *TEST)
    labels = write_other_split(Path(), 3, videos)[:40]
    cells = {name: load_scores(options.scores / f"3/{name}.npz") for name in WEIGHTS}
    package.main(options)
    found = load_recogniser_card(options.out).calibration
    assert found is not None and (found.splits, found.videos) == ((3,), 40)
    assert found.temperature == fit_temperature(fuse(cells, WEIGHTS)[:40], labels)
    tests = read_test_scores(options.out)
    after = calibration_error(softmax(tests.scores, found.temperature), tests.labels)
    assert found.ece_after == pytest.approx(after)
    assert f"probabilities at temperature {found.temperature:.2f}, by 40 videos of splits 3" in (
        capsys.readouterr().out
    )
    sidecar = Path("models/3/rgb/weights.json")
    card = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**card, "iterations": card["iterations"] + 1}))
    with pytest.raises(ValueError, match="models/3/rgb differs from models/2/rgb in iterations"):
        package.main(options)


def change_cell(options: package.Options, name: str, **changes: Any) -> None:
    path = options.scores / str(SPLIT) / f"{name}.npz"
    save_scores(replace(load_scores(path), **changes), path)


def test_a_small_difference_is_said_loudly(
    options: package.Options, caplog: pytest.LogCaptureFixture
) -> None:
    scores = load_scores(options.scores / str(SPLIT) / "rgb.npz").scores
    assert np.ptp(scores, axis=1).min() > 0.1
    change_cell(options, "rgb", scores=scores + np.float32(5e-4))
    package.main(options)
    assert "differ from the pipeline's by 0.0005" in caplog.text
    assert "unless it was on a GPU" in caplog.text


def test_videos_without_all_scores_are_named_and_one_is_needed(
    options: package.Options, capsys: pytest.CaptureFixture[str]
) -> None:
    full = load_scores(options.scores / str(SPLIT) / "rgb.npz")
    one = {
        "videos": full.videos[1:],
        "labels": full.labels[1:],
        "snippets": full.snippets[1:],
        "scores": full.scores[1:],
    }
    change_cell(options, "rgb", **one)
    package.main(options)
    out = capsys.readouterr().out
    assert "toy split 2: 1 of 2 test videos are left out of every row" in out
    assert f"as not every modality has them: {TEST[0]}" in out
    none = {field: value[:0] for field, value in one.items()}
    change_cell(options, "rgb", **none)
    with pytest.raises(ValueError, match="no test video of toy split 2 has scores of all of rgb, "):
        package.main(options)


def test_a_video_without_a_checksum_is_named(options: package.Options) -> None:
    lines = options.checksums.read_text().splitlines(keepends=True)
    options.checksums.write_text("".join(line for line in lines if not line.startswith(TEST[1])))
    with pytest.raises(ValueError, match=f"no checksum of 1 videos .{TEST[1]}."):
        package.main(options)


def test_the_smallest_files_are_looked_at(tmp_path: Path) -> None:
    for name, size in (("a", 9), ("b", 2), ("c", 5), ("d", 2)):
        (tmp_path / name).write_bytes(bytes(size))
    assert smallest(tmp_path, list("abcd")) == ["b", "d", "c"]


def test_scores_of_another_network_are_refused(options: package.Options) -> None:
    write_models(options.models / str(SPLIT), ["rgb_diff"], seed=2)
    with pytest.raises(ValueError, match=r"rgb_diff.npz: not the scores of the network in models"):
        package.main(options)


def test_a_stream_of_other_settings_is_noticed(options: package.Options) -> None:
    yaml = YAML(typ="safe", pure=True)
    recipe = yaml.load(RECIPE)
    recipe["extract"]["rgb"]["jpeg_quality"] = 5
    yaml.dump(recipe, RECIPE)
    with pytest.raises(ValueError, match=r"scores of (walk|run)/2.avi differ from the pipeline's"):
        package.main(options)
    assert registry.find("toy", registry.CHALLENGER) is None


@pytest.mark.parametrize(
    ("difference", "found"),
    [(0.0, "are the pipeline's"), (1.2e-6, "differ from the pipeline's by 1e-06")],
)
def test_how_near_the_scores_are_is_told(difference: float, found: str) -> None:
    line = package.comparison_line(3, difference)
    assert line == f"checked on the files of 3 of them: its scores {found}"
