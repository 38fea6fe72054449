"""The grid against `dvc repro`: speed, overhead per cell and per flow, planning of 100 cells.

    python benchmarks/grid.py [--skip-flow]

Makes toy pipelines of real DVC stages in a temporary folder: four independent cells of --seconds
of work (of a CPU, not of a clock) run by `dvc repro` and by the grid with two jobs, without Prefect
and, unless --skip-flow, as the Prefect flow on its temporary server. The last line is JSON. Figures
hold for a machine that does nothing else; its load is told first.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flows.grid.cells import run_cell
from flows.grid.plan import make_plan
from flows.grid.queue import Jobs, execute, require_good
from flows.processes.programs import program_environment

ROOT = Path(__file__).resolve().parents[1]
CELLS = 4
PLANNED = 100
WORK = "import sys, time; s = float(sys.argv[1])\nwhile time.process_time() < s: pass"
PIPELINE = """
stages:
  train:
    matrix: {{index: [{indices}]}}
    cmd: python -S work.py {seconds} && echo done > ${{item.index}}.txt
    deps: [work.py]
    outs: ["${{item.index}}.txt"]
"""


def main() -> None:
    """Measure, print a line for each figure, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="work of a cell (default 10)")
    parser.add_argument("--skip-flow", action="store_true", help="leave Prefect out")
    arguments = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.seconds, flow=not arguments.skip_flow)
    print(json.dumps(results))


def measure(folder: Path, seconds: float, *, flow: bool) -> dict[str, float]:
    """Return all figures, in seconds unless named otherwise."""
    results: dict[str, float] = {}

    def record(name: str, action: Callable[[], object]) -> float:
        start = time.perf_counter()
        action()
        results[name] = round(time.perf_counter() - start, 2)
        print(f"{name}: {results[name]} s")
        return results[name]

    alone = make_workspace(folder / "alone", 1, seconds)
    work = record("one cell's work", partial(run, alone, ["python", "-S", "work.py", str(seconds)]))
    by_dvc = make_workspace(folder / "dvc", CELLS, seconds)
    sequential = record("dvc repro, 4 cells", partial(run, by_dvc, ["dvc", "repro", "-q"]))
    by_grid = make_workspace(folder / "grid", CELLS, seconds)
    parallel = record("grid, 4 cells, 2 jobs", partial(run_grid, by_grid))
    results["speed-up"] = round(sequential / parallel, 2)
    planned = make_workspace(folder / "planned", PLANNED, 0.0)
    record(f"plan of {PLANNED} cells", partial(make_plan, planned))
    idle = make_workspace(folder / "idle", 20, 0.0)
    results["overhead per cell, one job"] = round(
        record("20 empty cells", partial(run_grid, idle, 1)) / 20, 2
    )
    if flow:
        flowing = make_workspace(folder / "flow", CELLS, seconds)
        command = ["tsn", "grid", "--jobs", "2"]
        whole = record("flow, 4 cells, 2 jobs", partial(run, flowing, command))
        results["overhead of the flow"] = round(whole - CELLS / 2 * work, 2)
    for name in ("speed-up", "overhead per cell, one job", "overhead of the flow"):
        print(f"{name}: {results.get(name, 'not measured')}")
    return results


def make_workspace(folder: Path, cells: int, seconds: float) -> Path:
    """Make a DVC project of independent cells, and return its folder."""
    folder.mkdir()
    indices = ", ".join(map(str, range(cells)))
    (folder / "dvc.yaml").write_text(PIPELINE.format(indices=indices, seconds=seconds))
    (folder / "work.py").write_text(WORK)
    shutil.copy(ROOT / "params.yaml", folder)
    run(folder, ["dvc", "init", "--no-scm", "-q"])
    return folder


def run(workspace: Path, command: list[str]) -> None:
    """Run a command that has to succeed, with this checkout's modules."""
    environment = {**program_environment(workspace), "PYTHONPATH": str(ROOT), "TSN_TRACKING": "off"}
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def run_grid(workspace: Path, jobs: int = 2) -> None:
    """Plan and execute, as `make grid` does."""
    stop = threading.Event()
    cell = partial(run_cell, workspace=workspace, stop=stop)
    plan = make_plan(workspace)
    limits = Jobs(heavy=jobs, light=1)
    require_good(execute(plan, cell, limits, watch=lambda _: None, stop=stop))


if __name__ == "__main__":
    main()
