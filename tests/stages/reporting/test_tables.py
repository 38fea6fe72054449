"""Tables come back as they were written: texts as texts, an unknown number as none."""

from pathlib import Path

import numpy as np
from odd_names import MISREAD

from stages.reporting.tables import read_table
from tsn.files import write_csv


def test_texts_stay_and_numbers_are_numbers(tmp_path: Path) -> None:
    names = [*MISREAD, "", ' "quoted", ']
    rows = [(name, 7, "" if name == "007" else 0.5) for name in names]
    write_csv(tmp_path / "t.csv", ("class", "count", "accuracy"), rows)
    table = read_table(tmp_path / "t.csv", "class")
    assert list(table.columns) == ["class", "count", "accuracy"]
    assert table["class"].tolist() == names
    assert table["count"].dtype == np.int64
    assert table["accuracy"].isna().tolist() == [name == "007" for name in names]
    assert table["accuracy"].sum() == 0.5 * (len(names) - 1)


def test_a_table_without_lines_is_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("video", "counted"), [])
    assert read_table(tmp_path / "t.csv", "video").shape == (0, 2)
