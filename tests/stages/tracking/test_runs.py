"""Tracking, asked through MLflow's own client on a real SQLite store."""

import getpass
import json
import logging
import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from workspace import ROOT, warm

from stages.tracking import runs, store
from stages.tracking.entries import DataSet, flatten_params
from stages.tracking.made import RESTORED, read_note, write_note
from stages.tracking.open_run import Run

KEY = {"dataset": "synthetic", "split": "1", "modality": "rgb", "model": "abc"}
DATA = DataSet(
    name="synthetic split1", digest="d" * 64, context="training", source={}, profile={"videos": 9}
)


@pytest.fixture(autouse=True)
def _no_tracking_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TSN_TRACKING", "DVC_STAGE", *store.ENVIRONMENT):
        monkeypatch.delenv(variable, raising=False)


def open_run(key=KEY, params=None, tags=None, name="split1 · rgb"):
    return runs.run(
        part="train", dataset="synthetic", name=name, key=key, params=params or {}, tags=tags or {}
    )


def only_run(key=KEY):
    found = runs.find_runs("synthetic", key)
    assert len(found) == 1
    return found[0]


def history(run_id, metric):
    points = store.connect().get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in points)


def test_a_run_is_complete_in_the_store(mlflow_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train@synthetic-1-rgb")
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    params = {"train": {"lr": 1e-3, "steps": [10, 20]}, "crop+size": 224, "long": "x" * 9000}
    with open_run(params=params, tags={"stage": "train"}) as run:
        assert not run.existed
        assert run.link() is None
        for iteration in range(250):
            run.log_metrics({"train/loss": 1 / (1 + iteration)}, step=iteration)
        run.log_metrics({"test/rgb+flow": 0.5})
        run.log_artifact(notes, folder="tables")
        run.log_dataset(DATA)
        run.set_tags({"model.md5": "1234"})

    record = only_run()
    assert record.name == "split1 · rgb"
    assert record.status == "FINISHED"
    assert record.params["train.lr"] == "0.001"
    assert record.params["train.steps"] == "[10, 20]"
    assert record.params["crop-size"] == "224"
    assert len(record.params["long"]) == 6000
    assert record.metrics["test/rgb-flow"] == 0.5
    assert history(record.run_id, "train/loss") == [(i, 1 / (1 + i)) for i in range(250)]
    assert record.tags.items() >= {**KEY, "stage": "train", "model.md5": "1234"}.items()
    assert record.tags["dvc.stage"] == "train@synthetic-1-rgb"
    client = store.connect()
    assert [f.path for f in client.list_artifacts(record.run_id, "tables")] == ["tables/notes.txt"]
    assert list((tmp_path / "mlartifacts" / "synthetic").rglob("notes.txt"))
    dataset = client.get_run(record.run_id).inputs.dataset_inputs[0]
    assert (dataset.dataset.name, dataset.tags[0].value) == ("synthetic split1", "training")
    assert json.loads(dataset.dataset.profile) == {"videos": 9}
    assert record.tags["mlflow.user"] == getpass.getuser()


def test_scoring_continues_the_run_of_the_training(mlflow_folder, monkeypatch, caplog):
    monkeypatch.setenv("DVC_STAGE", "train@synthetic-1-rgb")
    with open_run(params={"lr": 1}) as run:
        run.log_metrics({"train/loss": 0.25}, step=1)
    monkeypatch.setenv("DVC_STAGE", "score@synthetic-1-rgb")
    with open_run(params={"lr": 2, "crops": 10}) as run:
        assert run.existed
        run.log_metrics({"test/top1": 0.75})
    record = only_run()
    assert record.params == {"lr": "1", "crops": "10"}
    assert record.metrics == {"train/loss": 0.25, "test/top1": 0.75}
    assert record.tags["dvc.stage"] == "train@synthetic-1-rgb, score@synthetic-1-rgb"
    assert "keeps its parameter lr = 1" in caplog.text


def test_another_key_is_another_run(mlflow_folder):
    for modality in ("rgb", "flow"):
        with open_run(key={**KEY, "modality": modality}) as run:
            assert not run.existed
    assert len(runs.find_runs("synthetic", {"dataset": "synthetic"})) == 2
    assert runs.find_runs("another", KEY) == []


def test_a_resumed_training_does_not_repeat_points(mlflow_folder):
    with pytest.raises(ZeroDivisionError), open_run() as run:
        run.log_series({"train/loss": [(1, 0.5), (2, 0.4), (3, float("nan"))]})
        raise ZeroDivisionError
    assert only_run().status == "FAILED"
    with open_run() as run:
        run.log_series({"train/loss": [(2, 0.4), (3, float("nan")), (4, 0.2)]})
    points = history(only_run().run_id, "train/loss")
    assert [step for step, _ in points] == [1, 2, 3, 4]
    assert only_run().status == "FINISHED"


def test_a_result_that_changes_back_is_the_latest(mlflow_folder):
    for value in (0.5, 0.6, 0.5):
        with open_run() as run:
            run.log_metrics({"test/top1": value})
        assert only_run().metrics["test/top1"] == value


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stopped_run_is_killed_and_keeps_what_it_logged(mlflow_folder, stop):
    with pytest.raises(stop), open_run() as run:
        run.log_metrics({"train/loss": 0.5}, step=1)
        raise stop
    assert only_run().status == "KILLED"
    assert only_run().metrics == {"train/loss": 0.5}


def test_a_deleted_experiment_is_restored(mlflow_folder):
    with open_run():
        pass
    client = store.connect()
    client.delete_experiment(client.get_experiment_by_name("synthetic").experiment_id)
    with open_run() as run:
        assert run.existed


TRACK_ONE = """
import sys
from stages.tracking import runs
key = {"cell": sys.argv[1]}
where = {"part": "train", "dataset": "synthetic", "name": "one", "key": key}
with runs.run(**where, params={}, tags={}) as run:
    run.log_metrics({"test/top1": int(sys.argv[1]) / 10})
"""


@pytest.mark.slow
def test_four_processes_start_on_a_fresh_database_at_once(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    (tmp_path / "track_one.py").write_text(TRACK_ONE)
    track = [warm() / "python", "-m", "track_one"]
    more = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen([*track, str(n)], cwd=tmp_path, env=more) for n in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    found = [only_run({"cell": str(n)}) for n in range(4)]
    assert [run.metrics["test/top1"] for run in found] == [0.0, 0.1, 0.2, 0.3]


def test_a_part_is_logged_when_all_of_it_is(mlflow_folder):
    with runs.run(part="score", dataset="synthetic", name="n", key=KEY, params={}, tags={}):
        assert not runs.is_logged("synthetic", KEY, "score")
    assert runs.is_logged("synthetic", KEY, "score")
    assert not runs.is_logged("synthetic", KEY, "train")
    with open_run() as run:
        run.client = None  # as after a failure of the store: the rest is lost
        run.log_metrics({"train/loss": 1.0}, step=1)
    assert not runs.is_logged("synthetic", KEY, "train")


def test_the_duration_stays_that_of_the_first_part(mlflow_folder):
    with open_run():
        pass
    first = store.connect().get_run(only_run().run_id).info
    time.sleep(0.01)
    score = {"part": "score", "dataset": "synthetic", "name": "n", "key": KEY}
    with pytest.raises(KeyboardInterrupt), runs.run(**score, params={}, tags={}):
        raise KeyboardInterrupt
    with runs.run(**score, params={}, tags={}):
        pass
    second = store.connect().get_run(only_run().run_id).info
    assert (second.status, second.end_time) == ("FINISHED", first.end_time)


def test_a_restored_result_claims_no_commit(mlflow_folder):
    with runs.run(
        part="train", dataset="synthetic", name="n", key=KEY, params={}, tags={}, made=RESTORED
    ) as run:
        run.log_dataset(DATA)
    record = only_run()
    assert record.tags["restored"] == "true"
    assert not any("commit" in tag for tag in record.tags)
    stored = store.connect().get_run(record.run_id)
    (read,) = stored.inputs.dataset_inputs
    assert "commit" not in read.dataset.source
    assert stored.info.status == "FINISHED" and stored.info.end_time is None  # it is not known


def test_a_result_keeps_how_and_when_it_was_made(mlflow_folder, monkeypatch):
    monkeypatch.chdir(mlflow_folder)
    write_note("abc", {"init": {"scratch": {}}})
    made = read_note("abc")
    assert made.params == {"init": {"scratch": {}}} and made.began < made.ended
    assert read_note("another") == RESTORED
    time.sleep(0.01)
    with runs.run(
        part="train", dataset="synthetic", name="n", key=KEY, params={}, tags={}, made=made
    ):
        pass
    record = only_run()
    assert "restored" not in record.tags and record.tags["git.commit"] == made.tags["git.commit"]
    info = store.connect().get_run(record.run_id).info
    assert (info.start_time, info.end_time) == (made.began, made.ended)


LIVE = """
import sys
from stages.tracking import runs
key = {"stage": "cell", "fingerprint": "abc"}
with runs.live_run(dataset="synthetic", name="n", key=key, params={"lr": 1}, tags={}) as run:
    run.log_metrics({"train/loss": 0.5}, step=1)
    print("mlflow" in sys.modules)
    if WAITED:
        run._flushed_at -= 60
        run.log_metrics({"train/loss": 0.4}, step=2)
print("mlflow" in sys.modules)
"""


@pytest.mark.parametrize("waited", [False, True])
def test_a_short_training_never_imports_mlflow_and_a_long_one_when_points_are_due(
    mlflow_folder, waited
):
    program = LIVE.replace("WAITED", str(waited))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", str(waited)]
    found = runs.find_runs("synthetic", {"stage": "cell"})
    assert [(run.params, run.metrics) for run in found] == [
        ({"lr": "1"}, {"train/loss": 0.4})
    ] * waited
    assert not runs.is_logged("synthetic", {"stage": "cell"}, "train")  # its files are to come


def test_a_server_that_is_down_costs_one_warning(monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    caplog.set_level(logging.WARNING, logger="stages.tracking.open_run")
    reached = False
    with runs.run(
        part="fuse",
        dataset="d",
        name="n",
        key=KEY,
        params={},
        tags={},
        results="metrics/split1.json",
    ) as run:
        run.log_metrics({"loss": 1.0}, step=1)
        run.flush()
        assert run.link() is None
        reached = True
    assert reached
    messages = [r.getMessage() for r in caplog.records if r.name == "stages.tracking.open_run"]
    assert len(messages) == 1
    assert "MLflow is not reachable" in messages[0]
    assert "metrics/split1.json" in messages[0]


def test_the_link_of_a_run_on_a_server():
    run = Run(
        client=SimpleNamespace(tracking_uri="http://host:5000/"),
        run_id="r",
        experiment_id="3",
        made=RESTORED,
        results="",
    )
    page = "http://host:5000/#/experiments/3/runs/r?workflowType=machine_learning"
    assert run.link() == page


def test_a_store_that_breaks_midway_costs_one_warning(mlflow_folder, caplog):
    with open_run() as run:
        (mlflow_folder / "mlflow.db").write_bytes(b"not a database" * 1000)
        for _ in range(3):
            run.log_metrics({"loss": 1.0}, step=1)
            run.flush()
    warnings = [r for r in caplog.records if r.name == "stages.tracking.open_run"]
    assert len(warnings) == 1


def test_tracking_can_be_off(tmp_path, monkeypatch):
    monkeypatch.setenv("TSN_TRACKING", "off")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with open_run() as run:
        run.log_metrics({"loss": 1.0})
    assert runs.find_runs("synthetic", KEY) == []
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_switch_is_refused(monkeypatch):
    monkeypatch.setenv("TSN_TRACKING", "maybe")
    with pytest.raises(ValueError, match="'on' or 'off', not 'maybe'"), open_run():
        pass


def test_flatten_params():
    nested = {"a": {"b": {"c": 1.5}, "d": (1, 2)}, "name": "x", "none": None, "yes": True}
    assert flatten_params(nested) == {
        "a.b.c": "1.5",
        "a.d": "[1, 2]",
        "name": "x",
        "none": "null",
        "yes": "true",
    }


def test_long_values_that_differ_stay_different():
    left = flatten_params({"v": "x" * 7000 + "1"})
    right = flatten_params({"v": "x" * 7000 + "2"})
    assert left != right
