"""The promote program, on a real store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow_models import aliases, make_versions, new_run
from recognisers import write_recogniser
from videos import write_wandering
from workspace import ROOT

from stages.operate import promote
from stages.tracking import registry, store
from stages.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS, NotRegisteredError


def run(version: str | None = None, *, roll_back: bool = False) -> None:
    promote.main(promote.Options(dataset="toy", version=version, roll_back=roll_back))


def test_the_challenger_then_a_number_then_back(
    mlflow_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, two, _ = make_versions(3)
    registry.set_tags(two, {"test.mean_class_accuracy": "0.9125"})
    store.connect().set_registered_model_alias("toy", CHALLENGER, "3")
    run()
    assert aliases() == {CHAMPION: "3", CHALLENGER: "3"}
    assert capsys.readouterr().out.splitlines()[:3] == [
        "  champion    none -> models:/toy/3",
        "  previous    none",
        "  challenger  models:/toy/3, which is the champion",
    ]
    run("2")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:-2] == [
        "  champion    models:/toy/3 -> models:/toy/2 (91.2%)",
        "  previous    none -> models:/toy/3",
        "  challenger  models:/toy/3",
    ]
    run(roll_back=True)
    assert aliases() == {CHAMPION: "3", PREVIOUS: "2", CHALLENGER: "3"}
    out = capsys.readouterr().out
    assert "--model models:/toy@champion" in out
    assert out.endswith("tsn serve toy\n")


def test_what_is_not_there_is_refused(mlflow_folder: Path) -> None:
    with pytest.raises(NotRegisteredError, match="toy has no challenger; `tsn repro` packages"):
        run()
    make_versions(1)
    with pytest.raises(NotRegisteredError, match="toy has no version 2"):
        run("2")


def test_a_recogniser_is_promoted_without_pytorch(mlflow_folder: Path) -> None:
    bundle = mlflow_folder / "recognisers/toy"
    video = write_wandering(mlflow_folder / "videos/walk/1.avi", 6)
    write_recogniser(bundle, [video], weights={"rgb": 1.0})
    registry.register("toy", bundle, new_run())
    program = """
import sys
from stages.operate import promote
promote.main(promote.Options(dataset="toy"))
print(sorted({"torch", "torchvision", "timm"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=mlflow_folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert aliases() == {CHAMPION: "1", CHALLENGER: "1"}
