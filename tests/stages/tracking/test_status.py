"""The status of a running stage."""

from pathlib import Path

import pytest

from stages.tracking.status import STATUS, read_status, report, status_path


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "sub/dvc.yaml:train@a-1")
    return tmp_path


def test_what_is_reported_adds_up_under_the_cells_name(project: Path) -> None:
    cell = "sub/dvc.yaml:train@a-1"
    assert read_status(project, cell) == {}
    report(link="http://x")
    report(done=1, total=2)
    report(done=2)
    assert read_status(project, cell) == {"link": "http://x", "done": 2, "total": 2}
    assert status_path(project, cell) == project / STATUS / "sub_dvc.yaml:train@a-1.json"
    assert len(list((project / STATUS).iterdir())) == 1


def test_stage_started_by_hand_tells_nobody(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE")
    report(done=1)
    assert not (project / STATUS).exists()


def test_status_that_cannot_be_written_or_read_is_left_out(project: Path) -> None:
    (project / ".tsn").write_text("a file where the folder should be")
    report(done=1)
    assert read_status(project, "train@a") == {}
