"""Scores on disk: what was saved comes back, as the same bytes every time, and nothing else."""

import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tsn.scoring.scores import ScoreError, VideoScores, load_scores, save_scores

SCORES = VideoScores(
    dataset="synthetic",
    split=2,
    modality="rgb",
    model="cafe",
    fingerprint="f00d",
    classes=("Über Kopf", "b"),
    videos=("a/v (1);[x].avi", "b/w.avi"),
    labels=np.array([0, 1]),
    snippets=np.random.default_rng(1).normal(size=(2, 3, 2)).astype(np.float32),
    scores=np.array([[0.1, -2.5], [1e-30, 3e7]], dtype=np.float32),
)


def test_scores_come_back_bit_for_bit(tmp_path: Path) -> None:
    save_scores(SCORES, tmp_path / "1" / "rgb.npz")
    loaded = load_scores(tmp_path / "1" / "rgb.npz")
    for field in fields(VideoScores):
        saved, found = getattr(SCORES, field.name), getattr(loaded, field.name)
        assert type(found) is type(saved)
        if isinstance(saved, np.ndarray):
            assert found.dtype == saved.dtype
            assert found.tobytes() == saved.tobytes()
        else:
            assert found == saved


def test_equal_scores_are_equal_bytes_at_any_time(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_scores(SCORES, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: object, **arrays: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        save_scores(SCORES, tmp_path / "rgb.npz")
    assert list(tmp_path.iterdir()) == []


def array_file(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def truncated(path: Path) -> None:
    save_scores(SCORES, path)
    path.write_bytes(path.read_bytes()[:-30])


def damaged(path: Path) -> None:
    save_scores(SCORES, path)
    content = bytearray(path.read_bytes())
    content[content.index(b"NUMPY") + 200] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not scores"),
        lambda path: np.savez(path, scores=np.zeros(3)),
        lambda path: np.savez(path, header=np.array("no json")),
        lambda path: np.savez(path, header=np.array("[1, 2]")),
        array_file,
        truncated,
        damaged,
    ],
    ids=["empty", "text", "other_npz", "no_json", "no_mapping", "npy", "truncated", "damaged"],
)
def test_file_of_something_else_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "rgb.npz"
    write(path)
    with pytest.raises(ScoreError, match=r"rgb\.npz: not a score file of this pipeline"):
        load_scores(path)


def test_missing_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the score stage of this cell first"):
        load_scores(tmp_path / "rgb.npz")
