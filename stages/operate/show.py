"""show: the fused tables of every dataset, and where to look next."""

import argparse
from pathlib import Path

from stages.runtime import command, params


def main(_: argparse.Namespace) -> None:
    for dataset in params.section(params.load(), "datasets", tuple[str, ...]):
        report = Path("reports") / dataset
        print(f"\n{dataset}: mean class accuracy, %\n")
        print((report / "table.txt").read_text(encoding="utf-8"))
        print(f"  the page with every figure   {report / 'index.html'}")
    print("  the runs, in MLflow          make ui")
    print("  what changed since a commit  dvc metrics diff\n")


if __name__ == "__main__":
    command.run(argparse.ArgumentParser(prog="show", description=__doc__), main)
