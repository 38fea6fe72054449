"""Files that a kill cut in two: at every place a dvc.lock can be cut, it is whole again."""

import threading
from pathlib import Path

import pytest
from toy_grid import cells, dvc, lock_file, make_workspace

from flows.grid.mend import COPY, REPO_LOCK, TORN_ASIDE, dvc_lock, is_whole, keep_copy, mend
from flows.grid.plan import make_plan
from flows.processes.programs import StoppedError

TEXT = """schema: '2.0'
stages:
  a:
    cmd: make a
    outs:
    - path: a.txt
      hash: md5
      md5: 0123
  b@1:
    cmd: make b
    deps:
    - path: a.txt
      hash: md5
      md5: 0123
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("copy", ["", TEXT, TEXT[: TEXT.index("  b@1")]])
def test_lock_file_cut_anywhere_is_whole_again(workspace: Path, copy: str) -> None:
    """And has at least what was before the cut entry, and what the copy had."""
    if copy:
        lock_file(workspace).write_text(copy)
        keep_copy(workspace)
    for cut in range(len(TEXT)):
        lock_file(workspace).write_text(TEXT[:cut])
        mend(workspace)
        if lock_file(workspace).exists():
            text = lock_file(workspace).read_text()
            assert is_whole(text)
            assert not copy or text.startswith(copy) or text == TEXT[:cut]
        else:
            assert not copy and cut < TEXT.index("b@1") + 1


def test_whole_file_is_left_alone_and_a_torn_one_kept_aside(workspace: Path) -> None:
    lock_file(workspace).write_text(TEXT)
    mend(workspace)
    assert lock_file(workspace).read_text() == TEXT
    assert not (workspace / TORN_ASIDE).exists()
    lock_file(workspace).write_text(TEXT[:100])
    keep_copy(workspace)
    assert not (workspace / COPY).exists()  # a torn one is no copy
    mend(workspace)
    assert (workspace / TORN_ASIDE).read_text() == TEXT[:100]


def test_busy_lock_means_no_copy_and_a_wait_that_can_be_stopped(workspace: Path) -> None:
    lock_file(workspace).write_text(TEXT)
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    with dvc_lock(workspace, REPO_LOCK):
        keep_copy(workspace)
        assert not (workspace / COPY).exists()
        timer.start()
        with pytest.raises(StoppedError, match=r"waiting for .*\.dvc/tmp/lock"):
            mend(workspace, stop=stop)
    keep_copy(workspace)
    assert (workspace / COPY).read_text() == TEXT


def test_lock_is_dvcs_own(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 0.0))
    with dvc_lock(tmp_path, REPO_LOCK), pytest.raises(AssertionError, match="acquire lock"):
        dvc(tmp_path, "commit", "--force")


@pytest.mark.slow
def test_plan_of_a_workspace_that_a_kill_left_torn(tmp_path: Path) -> None:
    """What is lost of dvc.lock comes back from the run-cache: nothing runs again."""
    make_workspace(tmp_path, cells(1, 0.0))
    dvc(tmp_path, "repro", "-q")
    whole = lock_file(tmp_path).read_bytes()
    leases = (tmp_path / "leases").read_bytes()
    lock_file(tmp_path).write_bytes(whole[:-20])
    (tmp_path / ".dvc/tmp/rwlock").write_text("")
    assert [cell.name for cell in make_plan(tmp_path).cells] == ["fuse"]
    dvc(tmp_path, "repro", "-q")
    assert lock_file(tmp_path).read_bytes() == whole
    assert (tmp_path / "leases").read_bytes() == leases
