"""Tables that stages wrote, read for the report."""

from pathlib import Path

import pandas as pd


def read_table(path: Path, *texts: str) -> pd.DataFrame:
    """Return a CSV file whose columns `texts` are texts, whatever they look like: a class may be
    called `None`, `007` or `true`. Other columns are numbers; an empty one is unknown."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.assign(**{n: pd.to_numeric(table[n]) for n in table.columns if n not in texts})
