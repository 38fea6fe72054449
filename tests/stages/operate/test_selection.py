"""What params.yaml chooses goes into commands: nothing but names and numbers gets there."""

import shutil
from pathlib import Path

import pytest
from workspace import ROOT, copy_project, dvc, edit

from stages.operate import selection
from stages.runtime import params
from tsn.records import RecordError

NO_NAMES = (
    "a b",
    "$(touch ran)",
    "a'$(touch ran)'b",
    "`touch ran`",
    "..",
    "a/b",
    "-a",
    "",
    "é",
    "a\n",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(project: Path, name: str) -> None:
    edit(project / "params.yaml", "datasets", [name])
    message = r"params\.yaml: datasets: .* cannot be a dataset's name; use letters"
    with pytest.raises(RecordError, match=message):
        selection.main(selection.Options(out=project / "note.json"))
    with pytest.raises(RecordError, match=r"recipes/: .* cannot be a dataset's name"):
        params.load_recipe(name)
    assert not (project / "note.json").exists()


def test_names_have_letters_digits_underscores_and_dashes(project: Path) -> None:
    edit(project / "params.yaml", "datasets", ["mine", "Mine-2_b", "007"])
    selection.main(selection.Options(out=project / "note.json"))
    assert (project / "note.json").is_file()


@pytest.mark.slow
def test_dvc_alone_runs_no_part_of_what_is_chosen(tmp_path: Path) -> None:
    hostile = "a'\"$(touch ran)\"'b"
    copy_project(ROOT, tmp_path)
    for key in ("datasets", "splits", "modalities"):
        edit(tmp_path / "params.yaml", key, [hostile])
    shutil.copy(ROOT / "recipes/synthetic.yaml", tmp_path / "recipes" / f"{hostile}.yaml")
    assert dvc(tmp_path, "config", "--local", "core.no_scm", "true").returncode == 0
    done = dvc(tmp_path, "repro", "--keep-going")
    assert "params.yaml: splits" in done.stderr
    assert not (tmp_path / "ran").exists()
