"""The registry on a real SQLite store: once registered, never lost, and whole after every kill."""

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grimp
import pytest
from mlflow_models import PICKLES, aliases, make_versions, new_run
from recognisers import write_recogniser
from videos import write_wandering

from stages.tracking import logged_model, registry, runs, store
from stages.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    NotRegisteredError,
    RegistryError,
)
from tsn.recogniser.card import CARD, VERSION, RecogniserError
from tsn.recogniser.folder import load_recogniser_card


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two recognisers of the dataset `toy`, RGB alone."""
    folder = tmp_path_factory.mktemp("bundles")
    video = write_wandering(folder / "videos/walk/1.avi", 6)
    found = []
    for seed in (1, 2):
        write_recogniser(folder / f"{seed}/toy", [video], weights={"rgb": 1.0}, seed=seed)
        found.append(folder / f"{seed}/toy")
    return found


def test_a_recogniser_is_registered_once_and_is_the_challenger(
    mlflow_folder: Path, bundles: list[Path], tmp_path: Path
) -> None:
    run_id = new_run()
    first = registry.register("toy", bundles[0], run_id)
    assert (first.model, first.number, first.run_id) == ("toy", "1", run_id)
    assert first.fingerprint == load_recogniser_card(bundles[0]).fingerprint
    assert first.tags["combination"] == "rgb" and first.tags["test.videos"] == "1"
    assert registry.register("toy", bundles[0], run_id) == first
    second = registry.register("toy", bundles[1], run_id)
    assert aliases() == {CHALLENGER: "2"}
    assert registry.find_number("toy", "2") == second
    assert registry.register("toy", bundles[0], run_id) == first
    assert aliases() == {CHALLENGER: "2"}
    fetched = registry.fetch(second, tmp_path / "fetched")
    for file in (path for path in bundles[1].rglob("*") if path.is_file()):
        assert (fetched / file.relative_to(bundles[1])).read_bytes() == file.read_bytes()
    outputs = store.connect().get_run(run_id).outputs.model_outputs
    assert len(outputs) == 2


def test_a_new_version_becomes_the_challenger_whoever_registers_it(
    mlflow_folder: Path, bundles: list[Path]
) -> None:
    cards = [load_recogniser_card(bundle) for bundle in bundles]
    assert not registry.is_registered("toy", cards[0].fingerprint)
    registry.register("toy", bundles[0], new_run())
    assert [registry.is_registered("toy", card.fingerprint) for card in cards] == [True, False]
    registry.register("toy", bundles[1], new_run())
    assert aliases() == {CHALLENGER: "2"}


def test_the_logged_model_holds_the_recogniser_once_and_no_pickle(
    mlflow_folder: Path, bundles: list[Path]
) -> None:
    registry.register("toy", bundles[0], new_run())
    (logged,) = (mlflow_folder / "mlartifacts/toy/models").iterdir()
    files = [path for path in logged.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} & PICKLES == set()
    assert [path.name for path in files].count("weights.safetensors") == 1
    assert not any(path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05") for path in files)
    assert [path.name for path in (logged / "artifacts/code").iterdir()] == ["tsn"]
    pins = (logged / "artifacts/requirements.txt").read_text().split()
    assert [pin.partition("==")[0] for pin in pins] == list(logged_model.SERVED_WITH)
    assert all("==" in pin for pin in pins)


def test_what_is_pinned_is_what_is_imported() -> None:
    graph = grimp.build_graph("tsn", "stages", cache_dir=None, include_external_packages=True)
    served = {
        "stages.tracking.served_model",
        *graph.find_upstream_modules("stages.tracking.served_model"),
    }
    external = {name for name in served if not name.startswith(("tsn", "stages"))}
    standard = external & sys.stdlib_module_names
    distributions = {"cv2": "opencv-contrib-python-headless", "decord": "decord2"}
    found = {distributions.get(name, name) for name in external - standard}
    # Triton comes with torch; scikit-learn draws confusion matrices, which nothing served does.
    assert found - {"triton", "sklearn"} == set(logged_model.SERVED_WITH)


def test_a_lock_without_a_pin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("numpy==1\ntorch==2\n")
    with pytest.raises(OSError, match="lock: pins no av, decord2, mlflow, numba, opencv"):
        logged_model.pinned_requirements(tmp_path / "lock")


def test_a_tampered_bundle_is_not_registered(
    mlflow_folder: Path, bundles: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(bundles[0], tmp_path / "toy")
    card = tmp_path / "toy" / CARD
    text = card.read_text().replace('"weight": 1.0', '"weight": 2.0')
    card.unlink()
    card.write_text(text)
    with pytest.raises(RecogniserError, match="changed since it was written"):
        registry.register("toy", tmp_path / "toy", new_run())
    assert registry.find("toy", CHALLENGER) is None


def test_who_made_a_recogniser_is_said_of_another_version(
    mlflow_folder: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.register("toy", bundles[0], new_run())
    assert registry.made_by(version) == ""
    monkeypatch.setattr(registry, "VERSION", "9.9")
    monkeypatch.setattr(registry, "FORMAT", 12)
    said = registry.made_by(version)
    assert said == f"version {VERSION} (its format is 3; version 9.9 has 12)"
    said = registry.made_by(replace(version, tags={}))
    assert said.startswith("an older version of this project") and version.run_id in said


def test_promotion_and_roll_back(mlflow_folder: Path) -> None:
    one, two, three = make_versions(3)
    assert registry.promote(one) is None
    assert aliases() == {CHAMPION: "1"}
    assert registry.promote(two) == one
    assert registry.promote(two) == one  # the champion already
    assert aliases() == {CHAMPION: "2", PREVIOUS: "1"}
    assert registry.promote(three) == two
    assert registry.roll_back("toy") == two
    assert aliases() == {CHAMPION: "2", PREVIOUS: "3"}
    assert registry.roll_back("toy") == three
    assert aliases() == {CHAMPION: "3", PREVIOUS: "2"}


def test_without_a_previous_one_there_is_no_way_back(mlflow_folder: Path) -> None:
    with pytest.raises(NotRegisteredError, match="toy has no version under the alias previous"):
        registry.roll_back("toy")
    registry.promote(make_versions(1)[0])
    with pytest.raises(NotRegisteredError, match="nothing to go back to"):
        registry.roll_back("toy")
    assert aliases() == {CHAMPION: "1"}


def test_tags_are_set_over_older_ones(mlflow_folder: Path) -> None:
    (version,) = make_versions(1)
    registry.set_tags(version, {"verdict": "better", "gain": "0.01"})
    registry.set_tags(version, {"verdict": "worse"})
    tags = registry.find_number("toy", "1").tags
    assert tags == {"fingerprint": "0", "verdict": "worse", "gain": "0.01"}


def test_what_is_not_there(mlflow_folder: Path) -> None:
    assert registry.find("toy", CHAMPION) is None
    with pytest.raises(NotRegisteredError, match="toy has no version 7"):
        registry.find_number("toy", "7")
    make_versions(1)
    assert registry.find("toy", CHAMPION) is None
    for number in ("2", "latest"):
        with pytest.raises(NotRegisteredError, match=f"toy has no version {number}"):
            registry.find_number("toy", number)


def test_looking_creates_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none/mlflow.db'}")
    assert registry.find("toy", CHAMPION) is None
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_being_created_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "mlflow.db"
    database.touch()  # by another process, which has not made its tables yet
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.2)
    looks: tuple[Callable[[], object], ...] = (
        lambda: registry.find("toy", CHAMPION),
        lambda: registry.find_number("toy", "1"),
        lambda: registry.is_registered("toy", "f"),
    )
    with store.hold_database_lock():
        for look in looks:
            with pytest.raises(TimeoutError, match=r"mlflow.db.lock was not free"):
                look()
        assert runs.find_runs("toy", {"stage": "package"}) == []
    assert "mlflow.db.lock was not free" in caplog.text
    assert database.stat().st_size == 0


def test_a_roll_back_from_a_version_that_was_deleted_is_finished_without_it(
    mlflow_folder: Path,
) -> None:
    for version in make_versions(2):
        registry.promote(version)
    client = store.connect()  # as a roll back that is killed halfway
    client.set_registered_model_tag("toy", registry.ROLLED_BACK_FROM, "2")
    client.set_registered_model_alias("toy", CHAMPION, "1")
    client.delete_model_version("toy", "2")
    assert registry.roll_back("toy").number == "1"
    assert aliases()[CHAMPION] == "1" and is_at_rest("toy")


def test_a_server_that_is_away_is_an_error(
    monkeypatch: pytest.MonkeyPatch, bundles: list[Path]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    for call in (lambda: registry.find("toy", CHAMPION), lambda: registry.roll_back("toy")):
        with pytest.raises(RegistryError, match=f"MLflow .http://127.0.0.1:{port}."):
            call()
    monkeypatch.setenv("TSN_TRACKING", "off")
    with pytest.raises(RegistryError, match="TSN_TRACKING is off"):
        registry.register("toy", bundles[0], "r")


class Killed(BaseException):
    """As if the process had ended."""


class Mortal:
    """A client whose process is killed before its call number `calls` (from 0)."""

    def __init__(self, client: Any, calls: int) -> None:
        self._client, self.left = client, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return found(*args, **kwargs)

        return call


def is_killed(call: Callable[[], object], calls: int) -> bool:
    """Whether `call` is killed before that number of calls to the store, and not done before."""
    with pytest.MonkeyPatch.context() as patch:
        client = Mortal(registry._connect(), calls)
        patch.setattr(registry, "_connect", lambda: client)
        try:
            call()
        except Killed:
            return True
        return False


def until_it_survives(prepare: Callable[[str], Callable[[], object]]) -> Iterator[str]:
    """Yield the name of a model after each possible death of the call that is prepared for it."""
    for calls in range(100):
        name = f"toy{calls}"
        killed = is_killed(prepare(name), calls)
        yield name
        if not killed:
            assert calls > 3
            return


def is_at_rest(name: str) -> bool:
    return registry.ROLLED_BACK_FROM not in store.connect().get_registered_model(name).tags


def test_a_killed_promotion_is_finished_by_the_next_and_loses_no_champion(
    mlflow_folder: Path,
) -> None:
    def prepare(name: str) -> Callable[[], object]:
        one, two, three = make_versions(3, name)
        registry.promote(one)
        registry.promote(two)
        return lambda: registry.promote(three)

    for name in until_it_survives(prepare):
        two, three = (registry.find_number(name, number) for number in "23")
        assert "2" in aliases(name).values()
        assert registry.promote(three) == two
        assert aliases(name) == {CHAMPION: "3", PREVIOUS: "2"} and is_at_rest(name)
    for name in until_it_survives(lambda name: prepare(f"other-{name}")):
        before = aliases(f"other-{name}")
        registry.promote(registry.find_number(f"other-{name}", "1"))  # not what was killed
        assert aliases(f"other-{name}") == {CHAMPION: "1", PREVIOUS: before[CHAMPION]}


def test_a_killed_roll_back_is_finished_by_the_next_which_does_no_other(
    mlflow_folder: Path,
) -> None:
    def prepare(name: str) -> Callable[[], object]:
        for version in make_versions(2, name):
            registry.promote(version)
        return lambda: registry.roll_back(name)

    for name in until_it_survives(prepare):
        if not is_at_rest(name) or aliases(name)[CHAMPION] == "2":
            assert registry.roll_back(name).number == "1"
        assert aliases(name) == {CHAMPION: "1", PREVIOUS: "2"} and is_at_rest(name)


@pytest.mark.slow
def test_a_killed_registration_is_not_repeated(mlflow_folder: Path, bundles: list[Path]) -> None:
    def prepare(name: str) -> Callable[[], object]:
        run_id = new_run(name)
        return lambda: registry.register(name, bundles[0], run_id)

    client = store.connect()
    for name in until_it_survives(prepare):
        version = registry.register(name, bundles[0], new_run(name))
        assert registry.find(name, CHALLENGER) == version
        assert [v.version for v in client.search_model_versions(f"name = '{name}'")] == [1]
        experiment = client.get_experiment_by_name(name).experiment_id
        ready = client.search_logged_models([experiment])
        assert [str(model.status) for model in ready] == ["READY"]
        fetched = registry.fetch(version, mlflow_folder / f"fetched-{name}")
        assert load_recogniser_card(fetched) == load_recogniser_card(bundles[0])
