"""Kill -9 of whatever is found, at random moments: the next run ends with the same files."""

import fcntl
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from toy_grid import (
    DVC,
    GRID_PY,
    LEASH,
    STAGE,
    cells,
    cleaned,
    dvc,
    forget_results,
    kill_one,
    make_workspace,
    require_nobody,
    results,
    start_grid,
)

KILLS_OF_A_KIND = 2
CELLS = 3
SECONDS = 0.6
VICTIMS = {"flow": GRID_PY, "leash": LEASH, "dvc": DVC, "stage": STAGE}


@pytest.mark.slow
def test_random_kills_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    chance = random.Random(20161008)
    locks = tmp_path / "locks"
    slots = {"TSN_GPU_SLOTS": "a,b", "TSN_RUNTIME_DIR": str(locks)}
    undisturbed = make_workspace(tmp_path / "undisturbed", cells(CELLS, SECONDS))
    dvc(undisturbed, "repro", "-q")
    workspace = make_workspace(tmp_path / "grid", cells(CELLS, SECONDS))
    kills = dict.fromkeys(VICTIMS, 0)
    with cleaned(workspace):
        while min(kills.values()) < KILLS_OF_A_KIND:
            forget_results(workspace)
            finish(workspace, slots, kills, chance)
            assert results(workspace) == results(undisturbed)
            assert dvc(workspace, "status", "--json").strip() == "{}"
            require_nobody(workspace)
    slots_left = sorted(locks.glob("gpu-*"))
    for lock in slots_left:  # every slot can be leased
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # On a slow machine no two cells may ever have worked at once, and b was never needed.
    assert slots_left[0].name == "gpu-a.0"


def finish(
    workspace: Path, slots: dict[str, str], kills: dict[str, int], chance: random.Random
) -> None:
    """Starts the grid until it comes to its end, and kills while there are kills left."""
    deadline = time.monotonic() + 300
    while True:
        assert time.monotonic() < deadline, f"never finished; killed so far: {kills}"
        process = start_grid(workspace, **slots)
        while process.poll() is None and (left := [k for k in kills if kills[k] < KILLS_OF_A_KIND]):
            try:
                process.wait(chance.uniform(0.3, 2.0))
            except subprocess.TimeoutExpired:
                kind = chance.choice(left)
                kills[kind] += kill_one(workspace, VICTIMS[kind], chance)
        _, errors = process.communicate(timeout=200)
        if process.returncode == 0:
            return
        # Killed itself, or a cell was more often than it is tried; nothing else may go wrong.
        assert process.returncode == -signal.SIGKILL or " failed:" in errors, errors
