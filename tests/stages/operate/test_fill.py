"""Shards into the store, by the command that each machine runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from videos import write_pan
from workspace import ROOT, warm

VIDEOS = [f"{name}/{index}.avi" for name in "ab" for index in range(2)]
LIST = "data/synthetic/splits/videos.txt"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A checkout with four small videos and a recipe for them."""
    for name in ("flows", "stages", "tsn", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    names = tmp_path / "data/synthetic/splits/videos.txt"
    names.parent.mkdir(parents=True)
    names.write_text("".join(f"{video}\n" for video in VIDEOS))
    for number, video in enumerate(VIDEOS):
        write_pan(tmp_path / "data/synthetic/videos" / video, num_frames=8, brightness=number)
    return tmp_path


def run(workspace: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [warm() / "python", "-m", *arguments],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(workspace)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def extract(workspace: Path) -> subprocess.CompletedProcess[str]:
    videos, out = "data/synthetic/videos", "data/synthetic/rgb"
    stage = ["stages.extract", "--dataset", "synthetic", "--modality", "rgb"]
    writes = ["--out", out, "--quarantine", "data/synthetic/quarantine/rgb.csv"]
    return run(workspace, *stage, "--videos", videos, "--list", LIST, *writes)


@pytest.mark.slow
def test_shards_are_what_the_stage_then_finds(workspace: Path) -> None:
    fill = ["flows.cli", "fill", "synthetic", "--modality", "rgb", "--shard"]
    assert "2 videos, 16 entries, 0 from the store" in run(workspace, *fill, "1/2").stdout
    assert "2 videos, 16 entries, 2 from the store" in run(workspace, *fill, "1/2").stdout
    assert "4 videos, 32 entries, 2 from the store" in extract(workspace).stdout
    assert "no videos in this share" in run(workspace, *fill, "9/9").stdout
    for bad in ("0/2", "3/2", "half"):
        refused = run(workspace, *fill, bad)
        assert refused.returncode == 1 and "expected i/n" in refused.stderr
