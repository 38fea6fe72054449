"""`make repro` on the built-in dataset: this commit beside an older one, on the same machine.

    python benchmarks/repro.py [COMMIT]

Each commit is cloned into a temporary folder and runs in this environment, one after the other,
with nothing in its cache. COMMIT is 9d27b90 unless told otherwise: the first whole chain on real
clips. The last line is JSON: `repro_s`, `before_s`, `repro_over_before`. Figures hold for a machine
that does nothing else; its load is told first. It takes as long as both chains: half an hour on two
cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(sys.prefix)


def main() -> None:
    """Run both chains, and print what they took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", nargs="?", default="9d27b90", help="default: 9d27b90")
    commit = parser.parse_args().commit
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        now = seconds(Path(folder) / "now", "HEAD")
        before = seconds(Path(folder) / "before", commit)
    figures = {"repro_s": now, "before_s": before, "repro_over_before": now / before}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


def seconds(project: Path, commit: str) -> float:
    """Return how long `make repro` takes in a fresh clone of a commit."""
    run(["git", "clone", "--quiet", "--no-checkout", ROOT, project], ROOT)
    run(
        ["git", "checkout", "--quiet", "--detach", run(["git", "rev-parse", commit], ROOT)], project
    )
    (project / ".venv").symlink_to(VENV)
    start = time.perf_counter()
    run(["make", "--assume-old=.venv/.ready", "repro"], project)
    took = time.perf_counter() - start
    print(f"{commit}: {took:.0f} s")
    return took


def run(command: list[str | Path], folder: Path) -> str:
    """Return what a command prints that has to succeed, with the modules of its folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(
            f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
