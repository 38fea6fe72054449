"""The fused tables of every dataset, and where to look next."""

from pathlib import Path

from stages.runtime import params


def show_tables() -> None:
    """Print the table of every dataset of params.yaml."""
    for dataset in params.active_datasets():
        report = Path("reports") / dataset
        if not (report / "table.txt").is_file():
            print(f"\n{dataset}: no result yet; `tsn repro` makes it\n")
            continue
        print(f"\n{dataset}: mean class accuracy, %\n")
        print((report / "table.txt").read_text(encoding="utf-8"))
        print(f"  the page with every figure   {report / 'index.html'}")
    print("  the runs, in MLflow          tsn ui")
    print("  what changed since a commit  tsn compare HEAD workspace\n")
