"""The fused tables of every dataset, and in a few lines what they say."""

from stages.operate.summary import summary
from stages.reporting.result_tables import TEXT_TABLE
from stages.runtime import params
from stages.runtime.places import DatasetPaths


def show_tables() -> None:
    """Print the table of every dataset of params.yaml, and its summary."""
    for dataset in params.active_datasets():
        table = DatasetPaths(dataset).report / TEXT_TABLE
        if not table.is_file():
            print(f"\n{dataset}: no result yet; `tsn repro` makes it\n")
            continue
        print(f"\n{dataset}: mean class accuracy, %\n")
        print(table.read_text(encoding="utf-8"))
        print("\n".join([*summary(dataset), ""]))
