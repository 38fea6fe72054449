"""sync: what it logs is the result of today's parameters, and of an active dataset."""

import hashlib
import os
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from stages import fuse
from stages.operate import sync
from stages.tracking import runs

RECIPE = "fusion: {headline: two_stream}\n"
COMMAND = "--dataset d --split 1 --list l --scores s --metrics m --plots p"
WORDS = shlex.split(COMMAND)


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A stage of dvc.lock whose files are here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("x")
    (tmp_path / "out.json").write_text("1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/d.yaml").write_text(RECIPE)
    (tmp_path / "params.yaml").write_text("splits: [1]\n")
    return {
        "deps": [{"path": "in.csv", "md5": "of no interest"}],
        "params": {
            "params.yaml": {"splits": [1]},
            "recipes/d.yaml": {"fusion": {"headline": "two_stream"}},
        },
        "outs": [
            {"path": "out.json", "md5": hashlib.md5(b"1").hexdigest()},
            {"path": "folder", "md5": "0.dir", "nfiles": 0},
        ],
    }


def test_a_stage_with_its_files_and_parameters_is_current(entry: dict[str, object]) -> None:
    assert sync.is_current(entry)


@pytest.mark.parametrize("path", ["in.csv", "out.json"])
def test_a_missing_file_is_not_current(entry: dict[str, object], path: str) -> None:
    Path(path).unlink()
    assert not sync.is_current(entry)


def test_an_edited_result_is_not_current(entry: dict[str, object]) -> None:
    Path("out.json").write_text("2")
    assert not sync.is_current(entry)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("recipes/d.yaml", "fusion: {headline: rgb}\n"),
        ("recipes/d.yaml", "score: {}\n"),
        ("params.yaml", "splits: [1, 2]\n"),
    ],
)
def test_other_parameters_are_not_current(entry: dict[str, object], path: str, text: str) -> None:
    Path(path).write_text(text)
    assert not sync.is_current(entry)


def test_a_stage_of_a_recipe_that_is_gone_is_not_current(entry: dict[str, object]) -> None:
    Path("recipes/d.yaml").unlink()
    assert not sync.is_current(entry)


@pytest.fixture(autouse=True)
def stage_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the variable by which a stage knows its name, which `sync` sets."""
    monkeypatch.setenv("DVC_STAGE", "sync")


def stage(tracked: list[str]) -> SimpleNamespace:
    def track(options: fuse.Options) -> bool:
        tracked.append(options.dataset)
        return True

    return SimpleNamespace(Options=fuse.Options, track=track)


def test_a_stage_of_an_active_dataset_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    tracked: list[str] = []
    assert sync.sync_stage("fuse@d-1", stage(tracked), WORDS)
    assert tracked == ["d"]
    assert "fuse@d-1: logged to MLflow" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[*WORDS, "--older", "1"], WORDS[:-2]])
def test_older_commands_are_left_alone(words: list[str]) -> None:
    tracked: list[str] = []
    assert not sync.sync_stage("fuse@d-1", stage(tracked), words)
    assert tracked == []


def test_a_store_that_takes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSN_TRACKING", "off")
    with pytest.raises(OSError, match="did not take it"):
        runs.require_logged("d", {"stage": "fuse"}, "fuse")


@pytest.mark.parametrize(
    ("cmd", "kind"),
    [
        ("python -m stages.train --dataset d", "train"),
        ("python -m stages.download --dataset d", ""),
        ("make it", ""),
        (["python -m stages.train"], ""),
    ],
)
def test_a_stage_is_tracked_or_not_by_its_command(cmd: object, kind: str) -> None:
    assert sync.kind({"cmd": cmd}) == kind


@pytest.fixture
def looks(
    entry: dict[str, object], mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The datasets of the stages that are looked at, in a project with one finished stage."""
    looks: list[str] = []
    monkeypatch.setitem(sys.modules, "stages.fuse", stage(looks))
    (mlflow_folder / "params.yaml").write_text("datasets: [d]\nsplits: [1]\n")
    entry["cmd"] = f"python -m stages.fuse {COMMAND}"
    YAML().dump({"stages": {"fuse@d-1": entry}}, Path("dvc.lock"))
    return looks


def test_what_was_logged_from_here_is_not_looked_at_again(looks: list[str]) -> None:
    sync.main(sync.Options())
    sync.main(sync.Options())
    assert looks == ["d"]
    sync.main(sync.Options(all=True))
    assert looks == ["d", "d"]


def test_an_inactive_dataset_is_left_alone_until_it_is_active(looks: list[str]) -> None:
    Path("params.yaml").write_text("datasets: [c]\nsplits: [1]\n")
    sync.main(sync.Options(all=True))
    sync.main(sync.Options(also=f"python -m stages.fuse {COMMAND}"))
    assert looks == []
    Path("params.yaml").write_text("datasets: [c, d]\nsplits: [1]\n")
    sync.main(sync.Options())
    assert looks == ["d"]


def test_a_changed_result_and_a_new_store_are_looked_at(
    looks: list[str], mlflow_folder: Path
) -> None:
    sync.main(sync.Options())
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(lock.replace("of no interest", "another"))
    sync.main(sync.Options())
    assert len(looks) == 2
    with closing(sqlite3.connect(mlflow_folder / "mlflow.db")) as database:
        database.execute("UPDATE experiments SET creation_time = creation_time + 1")
        database.commit()
    sync.main(sync.Options())
    assert len(looks) == 3


def test_what_cannot_be_logged_is_looked_at_again(
    looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(options: fuse.Options) -> bool:
        looks.append(options.dataset)
        raise OSError("no")

    monkeypatch.setattr(sys.modules["stages.fuse"], "track", refuse)
    sync.main(sync.Options())
    sync.main(sync.Options())
    assert looks == ["d", "d"]


def test_nothing_to_log_loads_neither_mlflow_nor_pytorch(looks: list[str]) -> None:
    sync.main(sync.Options())
    program = (
        "import sys; from stages.operate import sync; sync.main(sync.Options()); "
        "print({'mlflow', 'torch', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(Path(sync.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "set()\n", done.stderr
