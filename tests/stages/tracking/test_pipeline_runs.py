"""Pipeline runs on a real store: what they are called, whose parents they are, what they show."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow_pipelines import log, log_pipeline, write_recipe

from stages.tracking import pipeline_runs, store, views
from stages.tracking.data_sets import listed_data
from stages.tracking.notes import NOTE
from tsn.files import write_csv
from tsn.lists import ListedVideo, SplitLists, write_splits


@pytest.fixture
def recipe(mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the recipe of dataset `d` with flow's learning rate."""
    monkeypatch.chdir(mlflow_folder)
    return lambda lr: write_recipe(mlflow_folder, lr)


def name_of(run_id: str) -> str:
    return str(store.connect().get_run(run_id).info.run_name)


def parent_of(run_id: str) -> str | None:
    return store.connect().get_run(run_id).data.tags.get(pipeline_runs.PARENT)


def test_names_say_what_a_recipe_changes(recipe: Callable[[str], None]) -> None:
    recipe("0.05")
    first = log_pipeline("0.05")
    assert name_of(first["flow"]) == "split1 flow"
    assert name_of(first["mean"]).endswith(" default")
    recipe("0.01")
    second = log_pipeline("0.01")
    assert name_of(second["flow"]) == "split1 flow, base_lr=0.01"
    assert name_of(second["rgb"]) == "split1 rgb"
    assert name_of(second["fuse"]) == "split1 fusion, flow base_lr=0.01"
    digest, _, changed = name_of(second["mean"]).partition(" ")
    assert changed == "flow base_lr=0.01" and not name_of(first["mean"]).startswith(digest)
    run = store.connect().get_run(second["mean"]).data
    assert run.params["train.flow.solver.base_lr"] == "0.01"
    assert run.tags["changed"] == "flow base_lr=0.01"


def test_other_videos_under_the_same_recipe_are_told(recipe: Callable[[str], None]) -> None:
    recipe("0.05")
    log("report", "mean", "0.05", data="1")
    assert name_of(log("report", "mean again", "0.05", data="2")).endswith(" other data")


def test_a_pipeline_is_the_parent_of_what_it_made_and_no_more(
    recipe: Callable[[str], None],
) -> None:
    recipe("0.05")
    failed = log("cell", "split1 flow, killed", "0.05", modality="flow")
    first = log_pipeline("0.05")
    assert {parent_of(first[name]) for name in ("rgb", "flow", "fuse")} == {first["mean"]}
    assert parent_of(failed) == first["mean"] and parent_of(first["mean"]) is None
    recipe("0.01")
    second = log_pipeline("0.01", rgb=first["rgb"])
    assert parent_of(second["flow"]) == parent_of(second["fuse"]) == second["mean"]
    assert parent_of(second["rgb"]) == first["mean"]
    late = log("package", "split1 recogniser", "0.01", modality="recogniser")
    assert parent_of(late) == second["mean"]


def test_which_split_is_packaged_makes_no_other_pipeline(
    recipe: Callable[[str], None], mlflow_folder: Path
) -> None:
    """No stage but `package` runs again, so no pipeline run would be logged of it."""
    recipe("0.05")
    mean = log_pipeline("0.05")["mean"]
    path = mlflow_folder / "recipes/d.yaml"
    path.write_text(path.read_text().replace("package: {split: 1}", "package: {split: 2}"))
    assert parent_of(log("package", "split2 recogniser", "0.05", modality="recogniser")) == mean


def test_a_dataset_without_a_recipe_keeps_its_names(mlflow_folder: Path) -> None:
    assert name_of(log("cell", "split1 rgb", "0.05", modality="rgb")) == "split1 rgb"


def test_an_experiment_has_its_views_and_note_once(recipe: Callable[[str], None]) -> None:
    recipe("0.05")
    log("cell", "split1 rgb", "0.05", modality="rgb")
    client = store.connect()
    experiment = client.get_experiment_by_name("d")
    titles = [json.loads(experiment.tags[f"{views.KEY}tsn-{name}"])["name"] for name in views.VIEWS]
    assert titles == [view.title for view in views.VIEWS.values()]
    assert "d" in experiment.tags[NOTE]
    client.set_experiment_tag(experiment.experiment_id, NOTE, "mine")
    store.ensure_experiment(client, "d")
    assert client.get_experiment_by_name("d").tags[NOTE] == "mine"


@pytest.mark.parametrize(
    ("values", "default", "expected"),
    [
        ({"fusion.headline": "rgb"}, {"fusion.headline": "flow"}, ["headline=rgb"]),
        (
            {"train.rgb.solver.lr": "1", "train.flow.solver.lr": "1"},
            {"train.rgb.solver.lr": "2", "train.flow.solver.lr": "3"},
            ["flow, rgb lr=1"],
        ),
        ({}, {"accept.min_frames": "6"}, ["min_frames=none"]),
        ({"splits": "[1]"}, {"splits": "[1]"}, []),
    ],
)
def test_changes_in_a_few_words(
    values: dict[str, str], default: dict[str, str], expected: list[str]
) -> None:
    assert pipeline_runs.changes(values, default) == expected


def test_a_data_set_is_known_by_what_its_videos_hold(tmp_path: Path) -> None:
    rows = (ListedVideo("a/1.avi", 0, "g1", ()), ListedVideo("b/2.avi", 1, "g1", ()))
    lists = SplitLists(classes=("a", "b"), train={1: rows}, test={1: rows[:1]})
    write_splits(lists, tmp_path / "splits")

    def digest(sha256: str, side: str = "train") -> str:
        table = [("a/1.avi", sha256), ("b/2.avi", "2")]
        write_csv(tmp_path / "videos.csv", ("video", "sha256"), table)
        return listed_data("d", 1, tmp_path / f"splits/1/{side}.csv").digest

    assert digest("1") == digest("1") != digest("another")
    assert digest("1", "test") != digest("1")
    found = listed_data("d", 1, tmp_path / "splits/1/train.csv")
    assert (found.name, found.context) == ("d split1 train", "training")
    assert found.profile["videos"] == 2 and found.profile["groups"] == 1
