"""Workspaces pinned to a commit, and data as commits: real git, real DVC."""

import subprocess
from pathlib import Path

import pytest
from toy_grid import cells, dvc, make_workspace

from flows import data_commits, worktree
from flows.programs import ProgramError


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(
        ["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy pipeline in git, its results computed and not committed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    folder = make_workspace(tmp_path / "project", cells(1, 0.1))
    (folder / ".dvc/config").write_text("")  # with git from now on
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("/*.txt\n/.tsn\n/inbox\n/leases\n__pycache__\n")
    (folder / "additions").mkdir()
    (folder / "additions/README.md").write_text("clips\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "toy")
    return folder


def test_a_pinned_workspace_has_the_commit_and_the_checkouts_results(checkout: Path) -> None:
    dvc(checkout, "repro", "-q")
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "params.yaml").write_text("edited: true\n")
    tree = worktree.pin(checkout, "w", first)
    worktree.restore(checkout, tree)
    assert "edited" not in (tree / "params.yaml").read_text()
    assert (tree / "fuse.txt").read_text() == (checkout / "fuse.txt").read_text()
    assert dvc(tree, "status", "--json").strip() == "{}"  # nothing is computed again
    assert (tree / "inbox").resolve() == (checkout / "inbox").resolve()
    git(checkout, "commit", "-q", "-a", "-m", "edited")
    again = worktree.pin(checkout, "w", git(checkout, "rev-parse", "HEAD"))
    assert again == tree and (tree / "params.yaml").read_text() == "edited: true\n"
    assert git(checkout, "status", "--porcelain", "--", "params.yaml") == ""
    worktree.remove(checkout, tree)
    assert not tree.exists()


def test_a_workspace_that_was_left_half_made_is_made_anew(checkout: Path) -> None:
    broken = checkout / worktree.TREES / "w"
    broken.mkdir(parents=True)
    (broken / "junk").write_text("of a kill")
    tree = worktree.pin(checkout, "w", "HEAD")
    assert (tree / "dvc.yaml").is_file() and not (tree / "junk").exists()


def test_no_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no git checkout with a commit"):
        worktree.require_repository(tmp_path)
    git(tmp_path, "init", "-q")
    with pytest.raises(ProgramError, match="no git checkout with a commit"):
        worktree.require_repository(tmp_path)


def put_clip(checkout: Path, name: str) -> None:
    path = checkout / "additions/toy/videos/a" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())


def test_new_clips_are_one_commit_and_nothing_else_is_committed(checkout: Path) -> None:
    before = data_commits.data_state(checkout, "toy", "HEAD")
    assert data_commits.commit_additions(checkout, "toy") is False  # nothing was taken in
    put_clip(checkout, "1.avi")
    (checkout / "params.yaml").write_text("edited: true\n")
    git(checkout, "add", "params.yaml")
    (checkout / "cell.py").write_text("# an edit that is not\n")
    assert data_commits.commit_additions(checkout, "toy") is True
    changed = git(checkout, "show", "--name-only", "--format=%s", "HEAD").split("\n")
    assert changed == ["Data: new clips of toy", "", "additions/.gitignore", "additions/toy.dvc"]
    assert git(checkout, "diff", "--cached", "--name-only") == "params.yaml"
    after = data_commits.data_state(checkout, "toy", "HEAD")
    assert before != after
    assert data_commits.commit_additions(checkout, "toy") is False
    assert data_commits.data_state(checkout, "toy", "HEAD") == after
    assert data_commits.data_state(checkout, "other", "HEAD") == before
    # A kill between `dvc add` and the commit is healed by the next call.
    put_clip(checkout, "2.avi")
    dvc(checkout, "add", "-q", "additions/toy")
    assert data_commits.commit_additions(checkout, "toy") is True


def test_clips_of_others_come_by_the_upstream_branch(checkout: Path, tmp_path: Path) -> None:
    dvc(checkout, "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    git(checkout, "commit", "-q", "-a", "-m", "remote")
    git(tmp_path, "clone", "-q", str(checkout), "other")
    put_clip(checkout, "1.avi")
    data_commits.commit_additions(checkout, "toy")
    dvc(checkout, "push", "-q")
    other = tmp_path / "other"
    data_commits.pull(other, "toy")
    assert (other / "additions/toy/videos/a/1.avi").read_bytes() == b"1.avi"
    git(other, "-c", "user.name=t", "commit", "-q", "--allow-empty", "-m", "on its own")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "on its own, too")
    with pytest.raises(ProgramError, match="git pull"):
        data_commits.pull(other, "toy")
