"""show: the fused tables of every dataset, and where to look next."""

from dataclasses import dataclass
from pathlib import Path

from stages.runtime import command, params
from stages.runtime.options import StageOptions


@dataclass(frozen=True, kw_only=True)
class Options(StageOptions):
    pass


def main(_: Options) -> None:
    for dataset in params.section(params.load(), "datasets", tuple[str, ...]):
        report = Path("reports") / dataset
        print(f"\n{dataset}: mean class accuracy, %\n")
        print((report / "table.txt").read_text(encoding="utf-8"))
        print(f"  the page with every figure   {report / 'index.html'}")
    print("  the runs, in MLflow          make ui")
    print("  what changed since a commit  dvc metrics diff\n")


if __name__ == "__main__":
    command.run(__doc__, Options, main)
