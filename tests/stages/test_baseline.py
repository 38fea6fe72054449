"""baseline: its run in MLflow, and what it says where there are no initial weights."""

from pathlib import Path

import pytest
import torch
from toy_cells import BASELINE_SCORES

from stages import baseline
from stages.tracking import runs
from tsn.files import write_csv
from tsn.lists import COLUMNS, write_names
from tsn.model.checkpoint import save_initial
from tsn.scoring.scores import load_scores, save_scores
from tsn.streams.archives import write_manifest

RECIPE = "baseline: {snippets: 3, input_size: 32, inverse_regularization: 0.5}\n"
MACHINE = "machine: {device: cpu, processes: 1, threads: 1, workers: 0, checkpoint_seconds: 60.0}\n"


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> baseline.Options:
    """Those of a dataset that is trained from scratch."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(MACHINE)
    Path("recipes").mkdir()
    Path("recipes/d.yaml").write_text(RECIPE)
    write_names(Path("classes.txt"), ("a", "b"))
    for side in ("train", "test"):
        write_csv(Path(f"{side}.csv"), COLUMNS, [])
    write_manifest([], Path("rgb"))
    save_initial(Path("init"), "scratch", "bn_inception_quarter", {})
    return baseline.Options(
        dataset="d",
        split=1,
        modality="rgb",
        classes=Path("classes.txt"),
        train=Path("train.csv"),
        test=Path("test.csv"),
        stream=Path("rgb"),
        init=Path("init"),
        out=Path("scores/baseline.npz"),
    )


def test_from_scratch_it_is_not_run_and_says_why(
    options: baseline.Options, mlflow_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    baseline.main(options)
    torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert said.startswith("d split 1: not run: baseline (the recipe's init makes no weights that ")
    assert load_scores(options.out).videos == ()
    assert not baseline.track(options)
    assert runs.find_runs("d", {"stage": "baseline"}) == []


def test_its_run_has_the_metrics_of_a_cell(options: baseline.Options, mlflow_folder: Path) -> None:
    save_scores(BASELINE_SCORES, options.out)
    assert baseline.track(options)
    assert not baseline.track(options)
    (run,) = runs.find_runs("d", {"stage": "baseline"})
    assert run.name == "split1 baseline"
    assert run.tags["modality"] == "baseline"
    assert run.metrics == {
        "test/mean_class_accuracy": 0.5,
        "test/top1": pytest.approx(2 / 3),
        "test/top5": 1.0,
    }
    assert run.params["baseline.inverse_regularization"] == "0.5"
    assert run.params["baseline.modality"] == "rgb"
