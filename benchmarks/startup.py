"""What starting costs: help, each stage before it does anything, and a repro with nothing to do.

    python benchmarks/startup.py [--project FOLDER]

A stage's start is compared with `import torch` if it loads that, and with an empty Python if not.
FOLDER is a project that `tsn repro` has finished; without it the repro is left out. The last line
is JSON: `help_s`, `stage_overhead_s` (the largest), `noop_repro_s`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BINARIES = Path(sys.executable).parent
STAGES = (
    *("operate.check", "download", "split", "extract", "look", "pretrain", "train", "score"),
    *("baseline", "fuse", "report", "package", "operate.sync"),
)
REPEATS = 3


def seconds(command: list[str | Path], folder: Path = ROOT) -> float:
    """Return the median time of a command."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def python(program: str) -> list[str | Path]:
    """Return the command that runs a program given as text."""
    return [sys.executable, "-c", program]


def loads_torch(module: str) -> bool:
    """Return whether a module imports PyTorch."""
    program = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run(python(program), cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip() == "True"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, help="a finished project")
    arguments = parser.parse_args()
    floor = {True: seconds(python("import torch")), False: seconds(python("pass"))}
    print(f"python {floor[False]:.2f} s, with PyTorch {floor[True]:.2f} s")
    overheads = []
    for stage in STAGES:
        module = f"stages.{stage}"
        torch, took = loads_torch(module), seconds(python(f"import {module}"))
        overheads.append(took - floor[torch])
        what = "PyTorch" if torch else "python"
        print(f"{stage:14} {took:5.2f} s, {overheads[-1]:5.2f} s more than {what}")
    helps = {name: seconds([BINARIES / "tsn", *name.split()]) for name in ("--help", "look --help")}
    for name, took in helps.items():
        print(f"tsn {name:14} {took:.2f} s")
    repro = None
    if arguments.project:
        repro = round(seconds([BINARIES / "dvc", "repro"], arguments.project), 2)
        print(f"dvc repro, nothing to do {repro:.2f} s")
    result = {"noop_repro_s": repro, "help_s": round(max(helps.values()), 2)}
    print(json.dumps({**result, "stage_overhead_s": round(max(overheads), 2)}))


if __name__ == "__main__":
    main()
