"""Workspaces pinned to a commit, and data as commits: real git, real DVC."""

import hashlib
import shutil
from pathlib import Path

import pytest
from toy_grid import cells, dvc, git, make_workspace
from workspace import ROOT

from flows.git import data_commits, worktree
from flows.processes.programs import ProgramError
from stages.runtime.places import TREES
from stages.tracking import made
from tsn.sources.additions import Addition, read_additions, write_additions

pytestmark = pytest.mark.usefixtures("warm_programs")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy pipeline in git, its results computed and not committed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = make_workspace(tmp_path / "project", cells(1, 0.0))
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
    broken = checkout / TREES / "w"
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


def put_pending(checkout: Path, *names: str) -> Path:
    """What `stages.operate.ingest` leaves for a commit."""
    pending = checkout / ".tsn/retrain/toy/pending"
    for name in names:
        path = pending / "videos/a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    rows = [Addition(f"a/{n}", "", hashlib.sha256(n.encode()).hexdigest()) for n in names]
    write_additions(pending / "clips.csv", rows)
    return pending


def absorb(checkout: Path, *names: str) -> None:
    tree = worktree.pin(checkout, "w", git(checkout, "rev-parse", "HEAD"))
    data_commits.commit_clips(checkout, tree, "toy", put_pending(checkout, *names))


def clips_of(checkout: Path) -> list[str]:
    return [row.video for row in read_additions(checkout / "additions/toy/clips.csv")]


def pointer_of(checkout: Path) -> str:
    """What the last commit has by which git knows the clips."""
    if "additions/toy.dvc" not in git(checkout, "ls-files").split():
        return "none"
    return git(checkout, "rev-parse", "HEAD:./additions/toy.dvc")


def test_new_clips_are_one_commit_and_nothing_else_is_committed(checkout: Path) -> None:
    before = pointer_of(checkout)
    tree = worktree.pin(checkout, "w", "HEAD")
    data_commits.commit_clips(checkout, tree, "toy", checkout / "nothing")
    assert pointer_of(checkout) == before
    (checkout / "params.yaml").write_text("edited: true\n")
    git(checkout, "add", "params.yaml")
    (checkout / "cell.py").write_text("# an edit that is not staged\n")
    absorb(checkout, "1.avi")
    changed = git(checkout, "show", "--name-only", "--format=%s", "HEAD").split("\n")
    assert changed == ["Data: new clips of toy", "", "additions/.gitignore", "additions/toy.dvc"]
    assert git(checkout, "diff", "--cached", "--name-only") == "params.yaml"
    assert (checkout / "cell.py").read_text() == "# an edit that is not staged\n"
    assert clips_of(checkout) == ["a/1.avi"]
    after = pointer_of(checkout)
    assert before != after
    absorb(checkout, "1.avi")  # as after a kill between the commit and its end
    assert pointer_of(checkout) == after
    assert not (checkout / ".tsn/retrain/toy/pending").exists()
    assert before == "none"


def test_a_commit_adds_to_the_commit_before_whatever_lies_in_the_checkout(checkout: Path) -> None:
    absorb(checkout, "1.avi")
    (checkout / "additions/toy/videos/a/1.avi").unlink()  # on the desk
    absorb(checkout, "2.avi")
    tree = worktree.pin(checkout, "w", "HEAD")
    worktree.restore(checkout, tree)
    assert clips_of(tree) == ["a/1.avi", "a/2.avi"]
    assert (tree / "additions/toy/videos/a/1.avi").read_bytes() == b"1.avi"
    git(checkout, "revert", "--no-edit", "HEAD")
    reverted = pointer_of(checkout)
    tree = worktree.pin(checkout, "w", git(checkout, "rev-parse", "HEAD"))
    data_commits.commit_clips(checkout, tree, "toy", checkout / "nothing")
    assert pointer_of(checkout) == reverted  # and stays so


def test_a_branch_that_moves_meanwhile_loses_nothing(checkout: Path) -> None:
    tree = worktree.pin(checkout, "w", git(checkout, "rev-parse", "HEAD"))
    git(checkout, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    pending = put_pending(checkout, "1.avi")
    with pytest.raises(ProgramError, match="git merge --ff-only"):
        data_commits.commit_clips(checkout, tree, "toy", pending)
    absorb(checkout, "1.avi")
    assert clips_of(checkout) == ["a/1.avi"]


def test_clips_of_others_come_and_go_by_the_upstream_branch(checkout: Path, tmp_path: Path) -> None:
    dvc(checkout, "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    git(checkout, "commit", "-q", "-a", "-m", "remote")
    git(tmp_path, "clone", "-q", "--bare", str(checkout), "bare")
    for name in ("one", "two"):
        git(tmp_path, "clone", "-q", str(tmp_path / "bare"), name)
        git(tmp_path / name, "config", "user.name", "t")
        git(tmp_path / name, "config", "user.email", "t@localhost")
    one, two = tmp_path / "one", tmp_path / "two"
    absorb(one, "1.avi")
    dvc(one, "push", "-q")
    data_commits.publish(one)
    git(two, "commit", "-q", "--allow-empty", "-m", "of its own")
    data_commits.pull(two, "w")
    tree = worktree.pin(two, "w", git(two, "rev-parse", "HEAD"))
    data_commits.fetch(tree, "toy")
    data_commits.commit_clips(two, tree, "toy", put_pending(two, "2.avi"))
    data_commits.publish(two)
    assert clips_of(two) == ["a/1.avi", "a/2.avi"]
    data_commits.pull(one, "w")
    assert pointer_of(one) == pointer_of(two)


def test_a_project_in_a_folder_of_a_repository(checkout: Path, tmp_path: Path) -> None:
    """Its workspace is that folder of a worktree; commits are the repository's."""
    (tmp_path / "mono").mkdir()
    project = tmp_path / "mono/project"
    shutil.rmtree(checkout / ".git")
    checkout.rename(project)
    git(project.parent, "init", "-q", "-b", "main")
    with pytest.raises(ProgramError, match="no git checkout with a commit of the project"):
        worktree.require_repository(project)
    git(project.parent, "add", "-A")
    git(project.parent, "commit", "-q", "-m", "toy")
    worktree.require_repository(project)
    tree = worktree.pin(project, "w", "HEAD")
    assert tree == project / TREES / "w/project" and (tree / "dvc.yaml").is_file()
    assert worktree.pin(project, "w", "HEAD") == tree
    worktree.restore(project, tree)
    absorb(project, "1.avi")
    assert clips_of(project) == ["a/1.avi"]
    assert pointer_of(project) != "none"
    assert git(project, "show", "--name-only", "--format=", "HEAD").split() == [
        "project/additions/.gitignore",
        "project/additions/toy.dvc",
    ]
    worktree.remove(project, tree)
    assert not (project / TREES / "w").exists()


def test_gits_own_words_reach_the_reader(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ProgramError, match=r"dubious ownership(.|\n)*--add safe.directory"):
        worktree.require_repository(checkout)
    monkeypatch.setattr(made, "PROJECT_ROOT", checkout)
    made.code_tags.cache_clear()
    assert "git.commit" not in made.code_tags()
    assert "dubious ownership" in caplog.text and "safe.directory" in caplog.text
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    made.code_tags.cache_clear()
    assert made.code_tags()["git.commit"] == git(checkout, "rev-parse", "HEAD")
    made.code_tags.cache_clear()


def test_edits_stay_when_commits_of_others_come(checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(checkout), "here")
    here = tmp_path / "here"
    (here / "params.yaml").write_text("edited: true\n")
    (here / "cell.py").write_text("# staged\n")
    git(here, "add", "cell.py")
    git(here, "commit", "-q", "-m", "of its own", "--only", "params.yaml")
    (here / "params.yaml").write_text("edited: again\n")
    (checkout / "additions/README.md").write_text("changed\n")
    git(checkout, "commit", "-q", "-a", "-m", "of others")
    data_commits.pull(here, "w")
    subjects = git(here, "log", "--format=%s").split("\n")
    assert subjects == ["of its own", "of others", "toy"]
    assert (here / "additions/README.md").read_text() == "changed\n"
    assert (here / "params.yaml").read_text() == "edited: again\n"
    assert (here / "cell.py").read_text() == "# staged\n"
    assert git(here, "diff", "--cached", "--name-only") == "cell.py"
    (here / "cell.py").write_text("# staged in part\n")
    (checkout / "additions/README.md").write_text("changed again\n")
    git(checkout, "commit", "-q", "-a", "-m", "of others again")
    with pytest.raises(ProgramError, match=r"staged in part.*cell\.py"):
        data_commits.pull(here, "w")
    (here / "cell.py").write_text("# staged\n")
    (checkout / "cell.py").write_text("# another\n")
    git(checkout, "commit", "-q", "-a", "-m", "the same file")
    with pytest.raises(ProgramError, match=r"edited here have changed upstream(.|\n)*cell\.py"):
        data_commits.pull(here, "w")
    assert (here / "cell.py").read_text() == "# staged\n"
    assert git(here, "log", "--format=%s").split("\n") == subjects
