"""What a workspace keeps is for its owner's eyes, and DVC's pickles are where only they write."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_grid import cells, make_workspace
from workspace import BINARIES

from flows.processes.programs import dvc_output, program_environment
from stages.runtime.places import TSN, dvc_site, make_private, make_private_file
from stages.tracking import store


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    mask = os.umask(0o002)
    yield
    os.umask(mask)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    return make_workspace(tmp_path / "project", cells(1, 0.1))


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:o}"


def test_a_workspace_keeps_its_own_for_its_owner(project: Path) -> None:
    assert make_private(project) == 0o077
    assert mode(project / TSN) == "700"
    (project / TSN).chmod(0o755)  # as an older version made it
    make_private(project)
    assert mode(project / TSN) == "700"
    assert not any((project.parent / name).exists() for name in (TSN, "dvc.yaml"))
    make_private(project.parent)  # no project
    assert not (project.parent / TSN).exists()


def test_a_checkout_that_a_group_shares_lets_the_group_in(project: Path) -> None:
    project.chmod(0o2775)  # what is made in it has the bit, too
    assert make_private(project) == 0o007
    assert mode(project / TSN) == "2770"
    make_private_file(project / "mlflow.db", 0o007)
    assert mode(project / "mlflow.db") == "660"


def test_a_store_that_several_people_share_stays_as_it_is(project: Path, tmp_path: Path) -> None:
    shared = tmp_path / "store"
    shared.mkdir(mode=0o2775)
    before = mode(shared)
    (project / TSN).mkdir()
    (project / TSN / "store").symlink_to(shared)
    make_private(project)
    (project / TSN / "store/ab").mkdir()
    assert (mode(project / TSN), mode(shared)) == ("700", before)
    assert mode(shared / "ab")[-2:] == "75"


def test_the_checkouts_database_is_its_owners(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PROJECT_ROOT", project)
    store.make_database_private(f"sqlite:///{project}/mlflow.db")
    assert mode(project / "mlflow.db") == "600"
    (project / "mlflow.db").chmod(0o664)
    store.make_database_private(f"sqlite:///{project}/mlflow.db")
    assert mode(project / "mlflow.db") == "600"
    other = tmp_path / "other.db"
    other.touch()
    store.make_database_private(f"sqlite:///{other}")
    assert mode(other) == "664"


def test_every_dvc_that_is_started_keeps_its_pickles_where_nobody_else_may_write(
    project: Path,
) -> None:
    dvc_output(["dag", "--dot"], project)
    dvc_output(["status", "--json"], project)
    site = project / TSN / "dvc"
    assert [len(path.name) for path in (site / "repo").iterdir()] == [32]
    assert mode(project / TSN) == "700"  # what DVC makes in it is for all


def test_a_workspace_of_its_own_has_its_own_pickles(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worktree's go with it; a place that a person chose is kept."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", program_environment(project)["DVC_SITE_CACHE_DIR"])
    assert dvc_site(project / TSN / "trees/w") == str(project / TSN / "trees/w" / TSN / "dvc")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    assert dvc_site(project) == str(tmp_path)


def test_a_stage_that_plain_dvc_starts_keeps_what_it_writes_private(project: Path) -> None:
    subprocess.run(
        [sys.executable, "cell.py", "--seconds", "0", "--out", "x.txt"],
        cwd=project,
        check=True,
        env={**os.environ, "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"},
    )
    assert mode(project / TSN) == "700"
