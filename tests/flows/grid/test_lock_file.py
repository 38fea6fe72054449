"""dvc.lock: truncated anywhere it is put back, what is lost is not run again; one order."""

import threading
from pathlib import Path

import pytest
from toy_grid import cells, dvc, git, lock_file, make_workspace, results, run_grid

from flows.grid.lock_file import (
    COPY,
    REPO_LOCK,
    TRUNCATED_COPY,
    dvc_lock,
    is_whole,
    keep_copy,
    read_lock_file,
    repair,
    sort_entries,
    write_lock_file,
)
from flows.grid.plan import make_plan, repro_order
from flows.processes.programs import ProgramError, StoppedError

pytestmark = pytest.mark.usefixtures("warm_programs")

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
def test_lock_file_truncated_anywhere_is_put_back_or_removed(workspace: Path, copy: str) -> None:
    if copy:
        lock_file(workspace).write_text(copy)
        keep_copy(workspace)
    for length in range(len(TEXT)):
        lock_file(workspace).write_text(TEXT[:length])
        repair(workspace)
        if is_whole(TEXT[:length]):  # it ends where an entry may: DVC reads it
            assert lock_file(workspace).read_text() == TEXT[:length]
        elif copy:
            assert lock_file(workspace).read_text() == copy
        else:
            assert not lock_file(workspace).exists()


def test_whole_file_is_left_alone_and_a_truncated_one_kept_aside(workspace: Path) -> None:
    lock_file(workspace).write_text(TEXT)
    repair(workspace)
    assert lock_file(workspace).read_text() == TEXT
    assert not (workspace / TRUNCATED_COPY).exists()
    lock_file(workspace).write_text(TEXT[:100])
    keep_copy(workspace)
    assert not (workspace / COPY).exists()  # a truncated one is no copy
    repair(workspace)
    assert (workspace / TRUNCATED_COPY).read_text() == TEXT[:100]


def test_busy_lock_means_no_copy_and_a_wait_that_can_be_stopped(workspace: Path) -> None:
    lock_file(workspace).write_text(TEXT)
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    with dvc_lock(workspace, REPO_LOCK):
        keep_copy(workspace)
        assert not (workspace / COPY).exists()
        timer.start()
        with pytest.raises(StoppedError, match=r"waiting for .*\.dvc/tmp/lock"):
            repair(workspace, stop=stop)
    keep_copy(workspace)
    assert (workspace / COPY).read_text() == TEXT


def test_lock_is_dvcs_own(tmp_path: Path) -> None:
    make_workspace(tmp_path, cells(1, 0.0))
    with dvc_lock(tmp_path, REPO_LOCK), pytest.raises(AssertionError, match="acquire lock"):
        dvc(tmp_path, "commit", "--force")


def test_text_is_read_when_it_is_written_to_its_end(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_lock_file(workspace) == ""
    lock_file(workspace).write_text(TEXT[:100])
    timer = threading.Timer(0.3, lock_file(workspace).write_text, [TEXT])
    timer.start()
    assert read_lock_file(workspace) == TEXT
    lock_file(workspace).write_text(TEXT[:100])
    monkeypatch.setattr("flows.grid.lock_file.READ_SECONDS", 0.1)
    with pytest.raises(ProgramError, match="truncated"):
        read_lock_file(workspace)
    write_lock_file(workspace, TEXT)
    assert lock_file(workspace).read_text() == TEXT
    write_lock_file(workspace, "")
    assert not lock_file(workspace).exists()


def test_entries_are_sorted_and_what_is_not_in_the_order_comes_last(workspace: Path) -> None:
    head, a, b = TEXT.partition("  a:")[0], TEXT[TEXT.index("  a:") : TEXT.index("  b@1")], "  b@1"
    b += TEXT.partition("  b@1")[2]
    lock_file(workspace).write_text(TEXT)
    sort_entries(workspace, ["b@1", "gone", "a"])
    assert lock_file(workspace).read_text() == head + b + a
    sort_entries(workspace, ["a"])
    assert lock_file(workspace).read_text() == TEXT
    before = lock_file(workspace).stat()
    sort_entries(workspace, ["a", "b@1"])
    assert lock_file(workspace).stat() == before  # it is not even written


# What DVC may quote, fold or write in another way.
ODD = r"""
stages:
  long:
    cmd: >-
      python -c "open('long.txt', 'w').write('a line longer than eighty characters, and: this')"
      --option 'with # a hash' --another "quoted \\ one"
    outs: [long.txt]
  lines:
    cmd:
      - "echo 'é: ü' > lines.txt"
      - |-
        echo one
        echo two >> lines.txt
    deps: [long.txt]
    params: [numbers.yaml: [rates, tiny, empty, nothing, yes_no, text]]
    outs: [lines.txt]
  plain: {cmd: echo > 0.txt, outs: [0.txt: {cache: false}]}
"""
NUMBERS = """
rates: [0.1, 1e-5, 1e+10, .inf, 100000000000000000000.0]
tiny: 0.0000001
empty: {}
nothing:
yes_no: [yes, no, "yes", "null", true, "1_000", "0x1f", "08"]
text: "a long text, which has: a colon # no comment, and goes on and on beyond eighty characters"
"""


def test_bytes_are_those_of_dvc(tmp_path: Path) -> None:
    for name in ("sequential", "other"):
        make_workspace(tmp_path / name, ODD)
        (tmp_path / name / "numbers.yaml").write_text(NUMBERS)
    dvc(tmp_path / "sequential", "repro", "-q")
    dvc(tmp_path / "other", "repro", "-q", "--single-item", "plain", "long", "lines")
    expected = read_lock_file(tmp_path / "sequential")
    assert read_lock_file(tmp_path / "other") != expected
    sort_entries(tmp_path / "other", repro_order(tmp_path / "other"))
    assert read_lock_file(tmp_path / "other") == expected


@pytest.mark.slow
def test_what_a_truncated_lock_file_loses_comes_back_without_running(tmp_path: Path) -> None:
    """With a copy that has some of the cells, and with none; the list of readers is cut, too."""
    make_workspace(tmp_path, cells(2, 0.0))
    dvc(tmp_path, "repro", "-q", "--single-item", "prep", "train@2")
    keep_copy(tmp_path)
    dvc(tmp_path, "repro", "-q")
    sort_entries(tmp_path, repro_order(tmp_path))
    before, leases = results(tmp_path), (tmp_path / "leases").read_bytes()
    for lost in (["train@1", "fuse"], ["prep", "train@2", "train@1", "fuse"]):
        lock_file(tmp_path).write_bytes(before["dvc.lock"][:-20])
        (tmp_path / ".dvc/tmp/rwlock").write_text("")
        assert [cell.name for cell in make_plan(tmp_path).cells] == lost
        done = run_grid(tmp_path)
        assert (done.returncode, done.stdout) == (0, f"planned {len(lost)}\n"), done.stderr
        assert results(tmp_path) == before
        assert (tmp_path / "leases").read_bytes() == leases
        (tmp_path / COPY).unlink()


@pytest.mark.slow
def test_cell_that_is_lost_while_the_grid_runs_is_restored_by_it(tmp_path: Path) -> None:
    """A kill, and a copy from before some cells: the last cell puts that in dvc.lock's place."""
    make_workspace(tmp_path, cells(2, 0.0))
    text = (tmp_path / "dvc.yaml").read_text()
    truncate = "--out fuse.txt 1.txt 2.txt && head -c 300 dvc.lock > x && cat x > dvc.lock"
    first = (
        f"test -e x || {{ rm -f {COPY}; python cell.py --seconds 0.1 {truncate}; }}; cp x fuse.txt"
    )
    (tmp_path / "dvc.yaml").write_text(
        text.replace("python cell.py --seconds 0.1 --out fuse.txt 1.txt 2.txt", first)
    )
    done = run_grid(tmp_path)
    assert (done.returncode, done.stdout) == (0, "planned 4\n"), done.stderr
    leases = (tmp_path / "leases").read_text().splitlines()
    assert sorted(row.split()[0] for row in leases) == ["1.txt", "2.txt", "fuse.txt", "prep.txt"]
    assert dvc(tmp_path, "status", "--json").strip() == "{}"


@pytest.mark.slow
def test_order_is_that_of_repro_whatever_ran_before(tmp_path: Path) -> None:
    sequential = make_workspace(tmp_path / "sequential", cells(3, 0.0))
    other = make_workspace(tmp_path / "other", cells(3, 0.0))
    dvc(sequential, "repro", "-q")
    order = ("prep", "train@1", "train@3", "train@2", "fuse")
    dvc(other, "repro", "-q", "--single-item", *order)
    assert lock_file(other).read_bytes() != lock_file(sequential).read_bytes()
    done = run_grid(other)  # as after a kill behind the last cell: it has nothing to do but this
    assert done.returncode == 0, done.stderr
    assert lock_file(other).read_bytes() == lock_file(sequential).read_bytes()
    assert dvc(other, "status", "--json").strip() == "{}"


def test_without_a_copy_it_is_that_of_the_last_commit(workspace: Path) -> None:
    project = workspace / "project"
    (project / ".dvc/tmp").mkdir(parents=True)
    lock_file(project).write_text(TEXT)
    git(workspace, "init", "-q")
    git(workspace, "add", "project/dvc.lock")
    git(workspace, "commit", "-q", "-m", "results")
    for truncated in (TEXT[:100].encode(), b"", bytes(50), b"\xff" * 50):
        lock_file(project).write_bytes(truncated)
        repair(project)
        assert lock_file(project).read_text() == TEXT


def test_both_sides_of_a_merge_are_no_kills_work(workspace: Path) -> None:
    lock_file(workspace).write_text(TEXT)
    keep_copy(workspace)
    text = f"<<<<<<< HEAD\n{TEXT}=======\n{TEXT}>>>>>>> other\n"
    lock_file(workspace).write_text(text)
    with pytest.raises(ProgramError, match="a merge left both sides in it"):
        repair(workspace)
    assert lock_file(workspace).read_text() == text
