"""Who runs in a workspace: said in a line; and what ended, or was truncated, is in nobody's way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_grid import cells, cleaned, environment, lock_file, make_workspace, running, wait_until
from workspace import BINARIES, ROOT

from flows.grid import active
from flows.grid.active import READERS, drop_ended, only_run, wait_for_others
from flows.grid.chain import run_chain
from flows.grid.lock_file import COPY
from flows.processes.programs import ProgramError

LIVING = {"pid": os.getpid(), "cmd": " ".join(sys.argv)}
REUSED = {"pid": os.getpid(), "cmd": "/somewhere/bin/dvc repro train@synthetic-1-flow"}
GONE = {"pid": 2**22 - 7, "cmd": "/somewhere/bin/dvc repro"}


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    path = tmp_path / READERS
    path.parent.mkdir(parents=True)
    return path


def test_readers_and_writers_that_have_ended_are_dropped(readers: Path) -> None:
    kept = {"write": {"a": LIVING}, "read": {"c": [LIVING]}}
    more = {"write": {"a": LIVING, "b": REUSED, "d": GONE}, "read": {"c": [GONE, LIVING, REUSED]}}
    readers.write_text(json.dumps(more | {"read": more["read"] | {"e": [REUSED]}}))
    drop_ended(readers)
    assert json.loads(readers.read_text()) == kept
    before = readers.stat().st_mtime_ns
    drop_ended(readers)
    assert readers.stat().st_mtime_ns == before
    os.utime(readers, (0, 0))  # noted before this process began: its number was another's then
    drop_ended(readers)
    assert json.loads(readers.read_text()) == {"write": {}, "read": {}}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\0" * 40, b'{"write": {"a', b"\xff\xfe", b"null", b"[]", b'{"else": {}}'),
        *(b'{"write": []}', b'{"read": {"a": [{"pid": 1}]}}', b'{"write": {"a": {"pid": "x"}}}'),
    ],
)
def test_list_that_dvc_would_not_read_is_emptied(readers: Path, content: bytes) -> None:
    readers.write_bytes(content)
    drop_ended(readers)
    assert readers.read_text() == "{}"


@pytest.mark.usefixtures("warm_programs")
def test_chain_goes_on_after_everything_was_truncated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    workspace = make_workspace(tmp_path, cells(1, 0.0, prep=False, fuse=False))
    run_chain(workspace, [])
    whole = lock_file(workspace).read_bytes()
    assert (workspace / COPY).read_bytes() == whole
    lock_file(workspace).write_bytes(whole[:-20])
    out = str(workspace / "1.txt")
    (workspace / READERS).write_text(json.dumps({"write": {out: REUSED}}))
    capfd.readouterr()
    run_chain(workspace, ["train"])
    assert "cells: everything is up to date" in capfd.readouterr().err
    assert lock_file(workspace).read_bytes() == whole


def test_second_run_says_who_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path, cells(1, 60.0, prep=False, fuse=False))
    here = rf"another run is active in {workspace}: pid "
    with (
        only_run(workspace),
        pytest.raises(ProgramError, match=rf"{here}{os.getpid()} \(.+\), since 20"),
    ):
        run_chain(workspace, [])
    monkeypatch.setattr(active, "BUSY_SECONDS", 0.5)
    with cleaned(workspace):
        command = [BINARIES / "dvc", "--wait-for-lock", "repro"]
        process = subprocess.Popen(command, cwd=workspace, env=environment())
        wait_until(lambda: running(workspace, "cell.py --seconds"), "the stage")
        who = rf"{here}{process.pid} \(dvc --wait-for-lock repro\), since 20.* Wait for it"
        with pytest.raises(ProgramError, match=who):
            run_chain(workspace, [])
        process.terminate()
        process.wait()
    wait_for_others(workspace)
