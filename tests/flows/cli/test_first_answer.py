"""A first answer by the real pipeline: of one's own clips in a folder, without a training."""

import subprocess
from pathlib import Path

import pytest
from videos import texture, write_video
from workspace import ROOT, copy_project, dvc, edit, environment, warm

pytestmark = pytest.mark.slow


def tsn(project: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [warm() / "python", "-m", "flows.cli", *words],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_new_clips_have_an_answer_at_once_which_the_full_run_takes_over(tmp_path: Path) -> None:
    copy_project(ROOT, tmp_path)
    dvc(tmp_path, "init", "--no-scm", "--force")
    for person in ("ira", "eli", "daria"):
        for label, look in (("run", 1), ("jump", 2)):  # every clip of a class shows the same
            frames = [texture(48, 64, seed=look)] * 8
            write_video(tmp_path / "clips" / label / f"{person}_{label}.avi", frames)
    edit(tmp_path / "params.yaml", "machine.workers", 1)
    done = tsn(tmp_path, "new", "My-clips", "--videos", "clips", "--quick")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "first answer baseline 100.0 % mean class accuracy" in said
    assert "2 test clips; chance is 50 %" in said
    assert "[5 of 5] baseline@My-clips-1-rgb: ran in" in done.stderr
    assert not (tmp_path / "models/My-clips/1").exists()

    checked = tsn(tmp_path, "check")
    assert checked.returncode == 0, checked.stderr
    assert "My-clips: 6 clips of 2 classes" in checked.stdout
    assert "thin classes: 2" in checked.stdout and "jump: 2 to train, 1 to test" in checked.stdout
    assert "  6 cells are up to date" in checked.stdout

    refused = tsn(tmp_path, "repro", "nonesuch", "--quick")
    assert refused.returncode == 1
    assert "tsn repro: nonesuch: datasets of params.yaml are My-clips" in refused.stderr
