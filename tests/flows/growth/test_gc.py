"""`tsn gc` removes what nobody needs, and nothing that anybody does: real git, DVC and MLflow."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from toy_grid import cells, dvc, git, make_workspace
from workspace import ROOT

from flows.git import worktree
from flows.growth import gc
from flows.growth.findings import all_bytes, freed_bytes, size
from flows.growth.leftovers import cache_finding, mlflow_finding, progress_finding
from flows.growth.stream_store import store_finding
from flows.growth.worktrees import old_worktrees, other_workspaces, worktrees_finding
from flows.processes.programs import ProgramError
from stages.runtime.places import LOCKS, PROGRESS, RETRAIN_LOCK, STORE, TREES
from stages.tracking import store
from tsn.files import write_csv
from tsn.locks import hold_lock, try_lock
from tsn.streams.store import hold_store

MODALITIES = ("rgb", "rgb_diff", "flow", "warped_flow")  # those of params.yaml
pytestmark = pytest.mark.usefixtures("warm_programs")


def put_entry(root: Path, key: str, days: float = 0.0) -> Path:
    """An entry of a store, used so long ago; returns its archive."""
    archive = root / STORE / key[:2] / f"{key}.zip"
    archive.parent.mkdir(parents=True, exist_ok=True)
    for path in (archive, archive.with_suffix(".json")):
        path.write_bytes(b"x" * 1000)
        os.utime(path, (time.time() - days * 86400,) * 2)
    return archive


def put_manifests(root: Path, *keys: str) -> None:
    for row in MODALITIES:
        path = root / "data/synthetic" / row / "manifest.csv"
        write_csv(path, ("video", "key"), [(f"a/{key}.avi", key) for key in keys])


def lock_is_free(path: Path) -> bool:
    with path.open("a") as file:
        return try_lock(file)


def free(finding: gc.Finding) -> None:
    assert finding.free is not None
    finding.free()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy pipeline in git."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = make_workspace(tmp_path / "project", cells(2, 0.0, prep=False, fuse=False))
    (folder / ".dvc/config").write_text("")  # with git
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("/*.txt\n/.tsn\n/inbox\n/leases\n/data\n__pycache__\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "toy")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A workspace without git, whose extraction is done."""
    folder = make_workspace(tmp_path / "project", cells(1, 0.0))
    put_manifests(folder, "aa1", "bb2")
    return folder


# -- the stream store -------------------------------------------------------------------------


def test_entries_that_no_manifest_names_go(project: Path, tmp_path: Path) -> None:
    put_manifests(tmp_path / "worktree", "cc3")
    for key in ("aa1", "cc3", "dd4", "dd5"):
        put_entry(project, key)
    finding = store_finding(project, [tmp_path / "worktree"], (), days=0.0)
    assert (finding.text, finding.kept) == ("2 entries that no manifest names", "")
    assert all_bytes(finding.paths) == 4000
    free(finding)
    assert {path.stem for path in (project / STORE).rglob("*.*")} == {"aa1", "cc3"}


def test_what_is_young_stays_as_an_extraction_may_want_it(project: Path) -> None:
    put_entry(project, "dd4", days=29)
    put_entry(project, "dd5", days=31)
    finding = store_finding(project, (), (), days=30.0)
    assert [path.stem for path in finding.paths] == ["dd5", "dd5"]
    assert finding.kept == ("1 (2.0 kB) used within 30 days (--days): an extraction may want them")
    assert len(store_finding(project, (), (), days=0.0).paths) == 4


def test_in_a_store_that_others_may_use_only_what_is_old_goes(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (project / STORE.parent).mkdir()
    (project / STORE).symlink_to(tmp_path / "shared")
    for days in (0.5, 10, 40):
        put_entry(project, f"dd{days}", days)
    stems = partial(lambda days: {p.stem for p in store_finding(project, (), (), days).paths})
    assert stems(30.0) == {"dd40"}
    assert stems(0.0) == {"dd10", "dd40"}


def test_what_another_name_keeps_on_the_disk_stays(project: Path) -> None:
    """As an output of a checkout that no one here knows of."""
    output, cached = project / "output.zip", project / "cached.zip"
    output.hardlink_to(put_entry(project, "dd4"))
    cached.hardlink_to(put_entry(project, "dd5"))
    finding = store_finding(project, (), (cached,), days=0.0)
    assert {path.stem for path in finding.paths} == {"dd5"}
    assert finding.kept.startswith("1 (2.0 kB) that DVC's cache or an output holds, too")


def test_nothing_goes_while_an_extraction_writes(project: Path) -> None:
    archive = put_entry(project, "dd4")
    finding = store_finding(project, (), (), days=0.0)
    with hold_store(project / STORE), pytest.raises(OSError, match="an extraction writes there"):
        free(finding)
    assert archive.exists()
    free(finding)
    assert not archive.exists()


def test_with_a_damaged_manifest_nothing_of_the_store_goes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data/synthetic/rgb/manifest.csv").write_text("video\n")
    put_entry(project, "dd4", days=100)
    with pytest.raises(ValueError, match=r"manifest.csv: expected the columns key"):
        store_finding(project, (), (), days=0.0)


# -- worktrees --------------------------------------------------------------------------------


def test_old_worktrees_go_unless_a_flow_or_a_process_holds_them(checkout: Path) -> None:
    entry = put_entry(checkout, "dd4")
    names = ("cell-a", "cell-b", "retrain-mine", "half made")
    trees = [worktree.pin(checkout, name, "HEAD") for name in names[:3]]
    (checkout / TREES / names[3]).mkdir()
    trees.append(checkout / TREES / names[3])
    assert old_worktrees(checkout, days=1.0) == []
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "input()"], cwd=trees[1], stdin=subprocess.PIPE
    )
    with sleeper:
        unheld = [tree.name for tree in old_worktrees(checkout, days=0.0)]
        assert unheld == ["cell-a", "half made", names[2]]
        free(worktrees_finding(checkout, [trees[1]]))  # taken since it was found
        assert trees[1].exists()
        sleeper.communicate(b"\n")
    for lock in (LOCKS / "cell-a", RETRAIN_LOCK):
        with hold_lock(checkout / lock), gc.nobody_else(checkout) as refusal:
            assert "a retraining or a cell is active" in refusal
    with gc.nobody_else(checkout) as refusal:
        assert refusal == ""
        assert not lock_is_free(checkout / RETRAIN_LOCK)
    git(checkout, "worktree", "lock", str(trees[0]))
    with pytest.raises(ProgramError, match="locked"):
        free(worktrees_finding(checkout, [trees[0]]))
    git(checkout, "worktree", "unlock", str(trees[0]))
    put_manifests(trees[0], "ee5")
    assert trees[0].resolve() in other_workspaces(checkout)
    free(worktrees_finding(checkout, trees))
    assert not any(tree.exists() for tree in trees) and entry.exists()
    assert git(checkout, "worktree", "list").count("\n") == 0


# -- DVC, training runs, MLflow ---------------------------------------------------------------


@pytest.mark.slow
def test_dvc_keeps_what_a_commit_or_a_worktree_has(checkout: Path) -> None:
    def results() -> set[str]:
        return {path.read_text() for path in (checkout / ".dvc/cache/files").rglob("??/*")}

    def compute(text: str, folder: Path = checkout) -> None:
        (folder / "dvc.yaml").write_text(
            f"stages:\n  s: {{cmd: echo {text} > s.txt, outs: [s.txt]}}\n"
        )
        dvc(folder, "repro", "-q")

    compute("committed")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "computed")
    compute("lost")
    compute("here")
    tree = worktree.pin(checkout, "w", "HEAD")
    compute("there", tree)
    finding = cache_finding(checkout, [tree])
    assert [path.read_text() for path in finding.paths] == ["lost\n"]
    free(finding)
    assert results() == {"committed\n", "here\n", "there\n"}
    (checkout / ".dvc/config.local").write_text("[cache]\ndir = ../../shared\n")
    assert "is not of this checkout alone" in cache_finding(checkout, []).kept


def test_a_history_that_dvc_does_not_see_is_told_and_nothing_of_the_cache_goes(
    checkout: Path,
) -> None:
    (checkout / ".dvc/cache/files").mkdir(parents=True)
    (checkout / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    with pytest.raises(ProgramError, match="`make setup` puts that right"):
        cache_finding(checkout, [])


def test_progress_of_cells_that_are_done_or_gone_goes(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("1", "2", "gone-1-rgb")
    for name in names:
        path = checkout / PROGRESS / name / "f00d.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 10)
    dvc(checkout, "repro", "-q", "train@1")
    assert progress_finding(checkout, days=1.0).free is None
    finding = progress_finding(checkout, days=0.0)
    assert finding.text == "2 of cells that are done or gone: 1, gone-1-rgb"
    free(finding)
    assert [path.name for path in (checkout / PROGRESS).iterdir()] == ["2"]


@pytest.mark.slow
def test_runs_that_were_deleted_in_the_ui_go(mlflow_folder: Path) -> None:
    assert mlflow_finding().free is None
    client = store.connect()
    experiment = store.ensure_experiment(client, "toy")
    kept, gone = (client.create_run(experiment, run_name=name) for name in ("kept", "gone"))
    for run in (kept, gone):
        client.log_text(run.info.run_id, "x" * 1000, "text.txt")
    client.delete_run(gone.info.run_id)
    finding = mlflow_finding()
    assert finding.text == "1 runs and 0 experiments that were deleted in the UI"
    assert all_bytes(finding.paths) == 1000
    free(finding)
    assert mlflow_finding().free is None
    assert [run.info.run_name for run in client.search_runs([experiment])] == ["kept"]
    assert len(list((mlflow_folder / "mlartifacts").rglob("text.txt"))) == 1


def test_a_deleted_run_of_a_registered_version_stays(mlflow_folder: Path) -> None:
    client = store.connect()
    run = client.create_run(store.ensure_experiment(client, "toy"), run_name="champion")
    client.create_registered_model("toy")
    client.create_model_version("toy", str(mlflow_folder), run.info.run_id)
    client.delete_run(run.info.run_id)
    finding = mlflow_finding()
    assert finding.free is None and "champion was deleted and has a registered" in finding.kept


# -- all of it --------------------------------------------------------------------------------


@pytest.fixture
def without_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cache_finding", "progress_finding", "mlflow_finding"):
        monkeypatch.setattr(gc, name, lambda *_: gc.Finding(what=""))


def test_it_shows_first_and_removes_only_with_consent(
    project: Path, without_programs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = put_entry(project, "dd4")
    gc.collect(project, 0.0, yes=False)
    shown = capsys.readouterr().out
    assert "stream store             2.0 kB   1 entries that no manifest names" in shown
    assert shown.endswith("nothing is removed; `tsn gc --yes` does it\n") and archive.exists()
    with hold_lock(project / ".dvc/tmp/grid.lock"):
        gc.collect(project, 0.0, yes=True)
    assert "nothing is removed: another run is active" in capsys.readouterr().out
    assert archive.exists()
    gc.collect(project, 0.0, yes=True)
    assert capsys.readouterr().out.endswith("together                 2.0 kB   freed\n")
    assert not archive.exists()
    gc.collect(project, 30.0, yes=True)
    assert capsys.readouterr().out == "nothing to reclaim\n"


def test_what_cannot_be_asked_is_left_alone_and_said(
    project: Path, without_programs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data/synthetic/rgb/manifest.csv").write_text("video\n")
    archive = put_entry(project, "dd4", days=100)
    gc.collect(project, 0.0, yes=True)
    assert "nothing to reclaim\nkept, stream store: all of it: " in capsys.readouterr().out
    assert archive.exists()


def test_what_a_file_with_several_names_frees(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 2_500_000)
    two.hardlink_to(one)
    assert (freed_bytes([one]), freed_bytes([one, two]), all_bytes([one, two])) == (
        0,
        2_500_000,
        5_000_000,
    )
    assert [size(n) for n in (12, 2_500_000, 10**12)] == ["12 bytes", "2.5 MB", "1000.0 GB"]
