"""Challenger against champion on a real registry: who is promoted, once, whenever it is killed."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow_models import aliases
from recognisers import CLASSES, write_recogniser
from videos import write_wandering

from stages.operate import compare
from stages.reporting import comparison_page
from stages.tracking import registry, runs, store
from stages.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS
from tsn.lists import ListedVideo, SplitLists, write_splits
from tsn.recogniser.recogniser import load_recogniser

PARAMS = """
machine: {device: cpu, processes: 1, threads: 1, workers: 0, checkpoint_seconds: 60.0}
"""
RECIPE = "promotion: {minimum_gain: 0.0, maximum_class_loss: 0.5, confidence: 0.9}\n"
LABELS = [0, 1, 2, 0, 1, 2]  # of the six videos
WRONG_ONCE = [0, 1, 2, 0, 1, 0]
WRONG_TWICE = [0, 1, 0, 0, 1, 0]  # and nothing right of class 2


class Killed(BaseException):
    """What ends a process in the middle of something."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[int], int], Path]:
    """Makes recognisers by what they predict of six videos; one each, as they take a second."""
    folder = tmp_path_factory.mktemp("bundles")
    videos = [write_wandering(folder / f"videos/walk/{i}.avi", 6, seed=i + 1) for i in range(6)]

    def make(predicted: Sequence[int], seed: int) -> Path:
        bundle = folder / f"{seed}/toy"
        if not bundle.is_dir():
            write_recogniser(bundle, videos, weights={"rgb": 1.0}, seed=seed, predicted=predicted)
        return bundle

    return make


@pytest.fixture
def workspace(mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and an empty MLflow store."""
    (mlflow_folder / "params.yaml").write_text(PARAMS)
    (mlflow_folder / "recipes").mkdir()
    (mlflow_folder / "recipes/toy.yaml").write_text(RECIPE)
    monkeypatch.chdir(mlflow_folder)
    return mlflow_folder


def challenge(bundle: Path) -> None:
    """What `sync` does with a new recogniser."""
    key = {"stage": "package"}
    with runs.run(part="package", dataset="toy", name="p", key=key, params={}, tags={}):
        pass
    version = registry.register("toy", bundle, runs.find_runs("toy", key)[0].run_id)
    store.connect().set_registered_model_alias("toy", CHALLENGER, version.number)


def run(workspace: Path, data: str | None, recogniser: Path | None = None) -> dict[str, object]:
    arguments = compare.Options(
        dataset="toy",
        recogniser=recogniser,
        videos=workspace / "videos",
        lists=workspace / "lists",
        out=workspace / "out",
        decide_for=data,
    )
    compare.main(arguments)
    decision: dict[str, object] = json.loads((workspace / "out/comparison.json").read_text())
    return decision


def crown(bundle: Path) -> None:
    """A person makes it the champion."""
    challenge(bundle)
    version = registry.find("toy", CHALLENGER)
    assert version is not None
    registry.promote(version)


def test_the_first_challenger_has_nobody_to_beat_and_is_only_proposed(
    workspace: Path, bundles: Callable[[Sequence[int], int], Path]
) -> None:
    challenge(bundles(WRONG_ONCE, 1))
    decision = run(workspace, "data 1")
    assert (decision["verdict"], decision["champion"]) == ("proposed", None)
    assert aliases() == {CHALLENGER: "1"}
    text = (workspace / "out/comparison.md").read_text()
    assert text.startswith("## toy: version 1 is proposed")
    assert "`tsn promote toy --version 1` makes it one" in text
    assert runs.is_logged("toy", {"stage": "retrain", "data": "data 1"}, "retrain")


@pytest.mark.parametrize(
    ("best", "newest", "verdict", "champion"),
    [
        ((WRONG_ONCE, 1), (LABELS, 2), "promoted", {CHAMPION: "3"}),
        ((LABELS, 2), (WRONG_ONCE, 1), "not promoted", {}),
    ],
)
def test_without_a_champion_the_best_version_stands_in_for_it(
    workspace: Path,
    bundles: Callable[[Sequence[int], int], Path],
    best: tuple[Sequence[int], int],
    newest: tuple[Sequence[int], int],
    verdict: str,
    champion: dict[str, str],
) -> None:
    """Also one of 53 % after one of 98 % is not promoted for want of a champion."""
    for made in (best, (WRONG_TWICE, 3), newest):
        challenge(bundles(*made))
    for _ in range(2):  # it is decided once, and told again alike
        decision = run(workspace, "data 1")
        found = decision["verdict"], decision["champion"], decision["stands_in"]
        assert found == (verdict, "1", True)
        assert aliases() == {CHALLENGER: "3", **champion}
    text = (workspace / "out/comparison.md").read_text()
    assert "Against version 1, the best of the others, on 6 test videos:" in text
    assert ("`tsn promote toy --version 1` makes that" in text) == (verdict == "not promoted")


def test_the_champion_itself_is_not_promoted_again(
    workspace: Path, bundles: Callable[[Sequence[int], int], Path]
) -> None:
    crown(bundles(WRONG_ONCE, 1))
    decision = run(workspace, "data 1")
    found = decision["verdict"], decision["reasons"]
    assert found == ("not promoted", ["it is the champion already"])


def test_a_better_one_is_promoted_and_a_worse_one_is_not(
    workspace: Path, bundles: Callable[[Sequence[int], int], Path]
) -> None:
    crown(bundles(WRONG_ONCE, 1))
    challenge(bundles(LABELS, 2))
    decision = run(workspace, "data 2")
    assert (decision["champion"], decision["verdict"], decision["reasons"]) == ("1", "promoted", [])
    assert aliases() == {CHAMPION: "2", CHALLENGER: "2", PREVIOUS: "1"}
    assert (workspace / "out/comparison.png").is_file()
    text = (workspace / "out/comparison.md").read_text()
    assert "| mean class accuracy | 83.3% | 100.0% |" in text
    assert "| wave hand | 2 | 50.0% | 100.0% | +50.0 |" in text
    challenge(bundles(WRONG_TWICE, 3))
    decision = run(workspace, "data 3")
    assert decision["verdict"] == "not promoted"
    assert aliases() == {CHAMPION: "2", CHALLENGER: "3", PREVIOUS: "1"}
    text = (workspace / "out/comparison.md").read_text()
    assert "wave hand loses 100.0% (100.0% to 0.0% of 2 videos)" in text
    (logged,) = runs.find_runs("toy", {"stage": "retrain", "data": "data 3"})
    assert logged.metrics["gain"] == pytest.approx(-1 / 3)
    assert logged.metrics["mcnemar_p"] == pytest.approx(0.5)
    assert logged.tags["verdict"] == "not promoted"


def test_looking_decides_nothing(
    workspace: Path, bundles: Callable[[Sequence[int], int], Path]
) -> None:
    crown(bundles(WRONG_ONCE, 1))
    challenge(bundles(LABELS, 2))
    assert run(workspace, None)["decided"] is False
    assert "would be promoted" in (workspace / "out/comparison.md").read_text()
    assert aliases() == {CHAMPION: "1", CHALLENGER: "2"}
    assert registry.find_number("toy", "2").tags.get(compare.VERDICT) is None


def test_the_recogniser_that_was_made_is_judged_whoever_has_the_alias(
    workspace: Path, bundles: Callable[[Sequence[int], int], Path]
) -> None:
    better, worse = bundles(LABELS, 2), bundles(WRONG_ONCE, 1)
    crown(worse)
    with pytest.raises(
        ValueError, match=r"is not registered with MLflow; run `tsn repro package@toy`"
    ):
        run(workspace, "data 2", better)  # its registration failed, the alias is on the older one
    assert not runs.is_logged("toy", {"stage": "retrain", "data": "data 2"}, "retrain")
    challenge(better)
    challenge(worse)
    assert run(workspace, "data 2", better)["challenger"] == "2"
    assert aliases()[CHAMPION] == "2"


def test_a_video_the_champion_never_saw_is_scored_by_it(
    workspace: Path, bundles: Callable[[Sequence[int], int], Path], tmp_path: Path
) -> None:
    crown(bundles(WRONG_ONCE, 1))
    video = write_wandering(workspace / "videos/walk/new.avi", 6, seed=9)
    write_recogniser(tmp_path / "other/toy", [video], weights={"rgb": 1.0}, seed=4, predicted=[0])
    challenge(tmp_path / "other/toy")
    run(workspace, "data 2")
    assert (
        "1 videos, new to the champion, were scored"
        in (workspace / "out/comparison.md").read_text()
    )


def test_videos_that_are_held_back_decide_and_are_scored_once(
    workspace: Path,
    bundles: Callable[[Sequence[int], int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the test list the challenger would win."""
    crown(bundles(WRONG_TWICE, 3))
    challenge(bundles(LABELS, 2))
    names = ["walk/1.avi", "walk/2.avi", "run/3.avi", "run/no_video.avi"]
    for number, name in enumerate(names[:3]):
        write_wandering(workspace / "videos" / name, 6, seed=20 + number)
    (workspace / "videos" / names[3]).write_bytes(b"no video")
    held_back = [ListedVideo(name, int("run" in name), name, ()) for name in names]
    lists = SplitLists(classes=CLASSES, train={}, test={}, promotion=tuple(held_back))
    write_splits(lists, workspace / "lists")
    decision = run(workspace, None)
    text = (workspace / "out/comparison.md").read_text()
    assert "Against the champion, version 1, on 3 videos held back for promotion:" in text
    assert "| on its own test list | 66.7% | 100.0% |" in text
    expected = []
    for bundle in (bundles(WRONG_TWICE, 3), bundles(LABELS, 2)):
        own = load_recogniser(bundle, torch.device("cpu"))
        right = [own.score(workspace / "videos" / v).argmax() == ("run" in v) for v in names[:3]]
        expected.append((np.mean(right[:2]) + right[2]) / 2)
    comparison = decision["comparison"]
    assert isinstance(comparison, dict)
    found = [comparison[name] for name in ("champion", "challenger")]
    assert found == pytest.approx(expected)
    (workspace / "videos" / names[3]).unlink()
    write_splits(replace(lists, promotion=tuple(held_back[:3])), workspace / "lists")
    run(workspace, None)  # of the three, and not again
    with monkeypatch.context() as patched:
        patched.setattr(compare, "load_recogniser", None)
        assert run(workspace, None)["comparison"] == comparison
    again = []
    monkeypatch.setattr(
        compare, "load_recogniser", lambda *a: again.append(a) or load_recogniser(*a)
    )
    write_wandering(workspace / "videos" / names[0], 6, seed=30)  # another one of that name
    run(workspace, None)
    assert len(again) == 2


def test_a_verdict_is_not_carried_out_again_after_a_roll_back(
    workspace: Path,
    bundles: Callable[[Sequence[int], int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crown(bundles(WRONG_ONCE, 1))
    challenge(bundles(LABELS, 2))
    promote = registry.promote

    def killed(version: registry.Version) -> None:
        promote(version)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(registry, "promote", killed)
        run(workspace, "data 2")
    registry.roll_back("toy")
    run(workspace, "data 2")
    assert aliases() == {CHAMPION: "1", CHALLENGER: "2", PREVIOUS: "2"}


def test_a_verdict_over_another_champion_is_found_anew(
    workspace: Path,
    bundles: Callable[[Sequence[int], int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crown(bundles(WRONG_TWICE, 3))
    challenge(bundles(WRONG_ONCE, 1))

    def killed(_: registry.Version) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(registry, "promote", killed)
        run(workspace, "data 2")
    challenge(bundles(LABELS, 2))
    registry.promote(registry.find_number("toy", "3"))  # by a person, meanwhile
    decision = run(workspace, "data 2", bundles(WRONG_ONCE, 1))
    assert (decision["champion"], decision["verdict"]) == ("3", "not promoted")
    assert aliases()[CHAMPION] == "3"


WRITES = (
    *("create_run", "update_run", "set_terminated", "log_batch", "log_artifact"),
    *("set_model_version_tag", "set_registered_model_alias"),
)


def kill_before(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The process ends at the `number`th write to the store: what comes before it is done."""
    from mlflow import MlflowClient

    writes = itertools.count(1)

    def deadly(method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if next(writes) == number:
                raise Killed
            return method(*args, **kwargs)

        return call

    for name in WRITES:
        monkeypatch.setattr(MlflowClient, name, deadly(getattr(MlflowClient, name)))


@pytest.fixture
def compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two recognisers are compared, and drawn, once: nothing is written to the store there."""
    compare_with, draw = compare.compare_with, comparison_page.draw_per_class_bars
    found: dict[tuple[str, str], comparison_page.AgainstChampion] = {}
    pictures: list[bytes] = []

    def compare_once(
        champion: registry.Version, challenger: registry.Version, *rest: Any
    ) -> comparison_page.AgainstChampion:
        pair = champion.number, challenger.number
        if pair not in found:
            found[pair] = compare_with(champion, challenger, *rest)
        return replace(found[pair], champion=champion)

    def draw_once(accuracies: Any, names: Any, path: Path, title: str) -> None:
        if not pictures:
            draw(accuracies, names, path, title)
            pictures.append(path.read_bytes())
        path.write_bytes(pictures[0])

    monkeypatch.setattr(compare, "compare_with", compare_once)
    monkeypatch.setattr(comparison_page, "draw_per_class_bars", draw_once)


@pytest.mark.slow
@pytest.mark.usefixtures("compared_once")
def test_a_kill_at_any_write_is_healed_by_the_next_run(
    workspace: Path,
    bundles: Callable[[Sequence[int], int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crown(bundles(WRONG_ONCE, 1))
    clean = {CHAMPION: "1", CHALLENGER: "1"}
    promoted = {CHAMPION: "2", CHALLENGER: "2", PREVIOUS: "1"}
    killed = 0
    for number in range(1, 40):
        challenge(bundles(LABELS, 2))
        data = f"data {number}"
        with monkeypatch.context() as patched:
            kill_before(patched, number)
            try:
                run(workspace, data)
            except Killed:
                killed += 1
            else:
                break
        assert run(workspace, data)["verdict"] == "promoted"
        assert aliases() == promoted
        assert registry.find_number("toy", "2").tags[compare.OPPONENT] == "1"
        assert len(runs.find_runs("toy", {"stage": "retrain", "data": data})) == 1
        run(workspace, data)  # and again: nothing happens twice
        assert aliases() == promoted
        registry.roll_back("toy")
        client = store.connect()
        client.delete_registered_model_alias("toy", PREVIOUS)
        client.set_registered_model_alias("toy", CHALLENGER, "1")
        assert aliases() == clean
    assert killed >= 12
