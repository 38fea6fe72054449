"""dvc.lock in the order of `dvc repro`."""

from pathlib import Path

import pytest
from toy_grid import cells, dvc, lock_file, make_workspace, run_grid

from flows.grid.lock_order import BEFORE, in_order, remember_order

TEXT = """schema: '2.0'
stages:
  b:
    cmd: |-
      one
      two
  a@1:
    cmd: x
    deps:
    - path: p
"""


def test_entries_are_moved_and_their_bytes_kept() -> None:
    moved = in_order(TEXT, ["b", "a@1"], ["a@1", "b"])
    assert moved.splitlines()[2:6] == ["  a@1:", "    cmd: x", "    deps:", "    - path: p"]
    assert moved.splitlines()[6:] == ["  b:", "    cmd: |-", "      one", "      two"]
    assert in_order(moved, ["a@1", "b"], ["b"]) == TEXT  # what is not wanted comes last
    assert in_order(TEXT, ["b", "a@1"], ["b", "a@1", "gone"]) == TEXT


def test_file_of_another_layout_is_left_as_it_is() -> None:
    text = f"{TEXT}datasets:\n  name: x\n"
    assert in_order(text, ["b", "a@1"], ["a@1", "b"]) == text


@pytest.mark.slow
def test_new_entries_follow_the_old_ones_in_the_order_of_repro(tmp_path: Path) -> None:
    sequential = make_workspace(tmp_path / "sequential", cells(4, 0.0))
    other = make_workspace(tmp_path / "other", cells(4, 0.0))
    for workspace in (sequential, other):  # 3 before 4, which no `dvc repro` of all would do
        for cell in ("prep", "train@3"):
            dvc(workspace, "repro", "-q", "--single-item", cell)
    remember_order(other)
    for cell in ("train@1", "train@4", "train@2", "fuse"):
        dvc(other, "repro", "-q", "--single-item", cell)
        remember_order(other)  # a second start of the same grid changes nothing
    dvc(sequential, "repro", "-q")
    assert lock_file(other).read_bytes() != lock_file(sequential).read_bytes()
    done = run_grid(other)  # as after a kill behind the last cell: it has nothing to do but this
    assert done.returncode == 0, done.stderr
    assert not (other / BEFORE).exists()
    assert lock_file(other).read_bytes() == lock_file(sequential).read_bytes()
    assert dvc(other, "status", "--json").strip() == "{}"
