"""Videos that a CSV file lists, wherever they lie: one's own, labelled in a spreadsheet.

A line that cannot be meant is refused. One whose file cannot be taken is told, and left out.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePath

from tsn.files import write_csv
from tsn.lists import CSV_LIST
from tsn.names import has_control, name_problem, shown, spellings
from tsn.sources.folder import (
    NOT_THERE,
    Listed,
    SourceError,
    SourceMissingError,
    file_problem,
    first_of,
    take,
)

REQUIRED = ("path", "label")
OPTIONAL = ("group", "split")
SIDES = ("", "train", "test", "promotion")
SEPARATORS = ",;\t"  # Excel takes the one of the country


@dataclass(frozen=True, kw_only=True)
class CsvConfig:
    """A file with the columns path and label, and perhaps group and split (train, test
    or promotion).

    Paths are relative to `root`. A group (who, or where) never stands on both sides of a split.
    """

    file: str
    root: str


@dataclass(frozen=True)
class CsvRow:
    """A line of the file: a clip, its label, and its group and split ("" where not said).

    `problem` is why its file cannot be taken, "" if it can. `is_inside`: the line says that the
    file is in the folder that paths are relative to; a link there may lead elsewhere.
    """

    number: int
    path: PurePath
    label: str
    group: str
    split: str
    problem: str
    is_inside: bool


def fetch_csv(
    config: CsvConfig, videos: Path, lists: Path, _report: object = None
) -> Iterator[str]:
    """Copy the listed clips to `<label>/<clip>`, write `clips.csv` and yield each video id.

    SourceError names the line that cannot be used.
    """
    yield from take(list_csv(config, lists), videos)


def list_csv(config: CsvConfig, lists: Path) -> Listed:
    """Write `clips.csv`, and return what there is to take."""
    ids, left_out = listed_videos(config)
    write_clips(ids, lists)
    root = Path(config.root)
    return Listed({video: root / ids[video].path for video in sorted(ids)}, left_out)


def listed_videos(config: CsvConfig) -> tuple[dict[str, CsvRow], dict[str, str]]:
    """Return the lines of the file by the ids `<label>/<clip>` of their videos, and why the files
    of other lines cannot be taken.

    A clip keeps its file name; clips of one label that share one are named by their whole path,
    also where one of them cannot be taken. SourceError names the line that cannot be used.
    """
    rows, wrong = read_rows(Path(config.file), Path(config.root))
    for number, problem in wrong.items():
        raise SourceError(f"{config.file} line {number}: {problem}")
    shared = Counter((row.label, row.path.name) for row in rows)
    problems = {row.number: row.problem for row in rows if row.problem}
    ids: dict[str, CsvRow] = {}
    files: dict[Path, CsvRow] = {}
    for row in rows:
        if row.problem:
            continue
        whole = "_".join(part for part in row.path.parts if part not in (row.path.anchor, ".."))
        name = row.path.name if shared[row.label, row.path.name] == 1 else whole
        if problem := name_problem(name):
            problems[row.number] = f"{shown(name)}: {problem}"
            continue
        video = f"{row.label}/{name}"
        file = (Path(config.root) / row.path).resolve()
        earlier = ids.get(video) or files.get(file)
        if earlier:
            raise SourceError(
                f"{config.file} line {row.number}: {row.path} would be {video}, as "
                f"line {earlier.number} is; list every clip once"
            )
        ids[video] = files[file] = row
    left_out = {f"{config.file} line {n}": problems[n] for n in sorted(problems)}
    if not ids:
        raise SourceError(f"{config.file}: lists no videos{first_of(left_out)}")
    if len({bool(row.split) for row in ids.values()}) > 1:
        raise SourceError(f"{config.file}: some lines have a split and some have none")
    return ids, left_out


def write_clips(ids: Mapping[str, CsvRow], lists: Path) -> None:
    """Write the groups and sides of videos as the list that the split format `csv` reads."""
    lines = ((video, ids[video].group, ids[video].split) for video in sorted(ids))
    write_csv(lists / CSV_LIST, ("video", "group", "split"), lines)


def read_rows(
    path: Path, root: Path, within: Path | None = None
) -> tuple[list[CsvRow], dict[int, str]]:
    """Return the lines that can be meant, and what is wrong with the others, by their number.

    What the file says to lie in its own folder must, links followed, lie within `within`.
    """
    rows, problems = [], {}
    for number, line in _read_lines(path):
        try:
            rows.append(_row(root, number, line, within))
        except SourceError as error:
            problems[number] = str(error)
    return rows, problems


def _read_lines(path: Path) -> list[tuple[int, dict[str, str] | None]]:
    """Return the numbered lines of a file that has the columns it should, None for one that has
    more or fewer values. Empty lines and columns, as Excel writes them, do not count, nor does its
    first line `sep=;`."""
    if not path.is_file():
        raise SourceMissingError(f"{path}: no such file; set it in the recipe")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a mark
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not CSV in UTF-8 ({error}); export it so") from error
    lines = [line for line in _split_lines(path, text) if any(line[1])] or [(1, [""])]
    if lines[0][1][0].lower().startswith("sep="):
        lines = lines[1:] or [(1, [""])]
    (_, header), *rows = lines
    header = [column.lower() for column in header]
    columns = tuple(filter(None, header))
    once = len(set(columns)) == len(columns)
    if not (once and set(REQUIRED) <= set(columns) <= {*REQUIRED, *OPTIONAL}):
        raise SourceError(
            f"{path}: columns {', '.join(columns) or 'none'}, expected {', '.join(REQUIRED)}, and "
            f"perhaps {', '.join(OPTIONAL)}, separated by commas, semicolons or tabs"
        )
    return [(number, _by_column(header, row)) for number, row in rows]


def _split_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the values of every line, which may go on in the next within quotes, numbered."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 1
    try:
        for line in reader:
            yield number, [value.strip() for value in line]
            number = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(
            f"{path} line {number}: not CSV ({error}); close its quotes, or export it again"
        ) from error


def _by_column(header: Sequence[str], row: Sequence[str]) -> dict[str, str] | None:
    """Return the values by the names of their columns; None where there are fewer, or others."""
    values = list(zip_longest(header, row, fillvalue=""))
    is_short = any(header[len(row) :])
    has_others = any(value for column, value in values if not column)
    return None if is_short or has_others else {c: value for c, value in values if c}


def _row(root: Path, number: int, line: dict[str, str] | None, within: Path | None) -> CsvRow:
    if line is None:
        raise SourceError("has more or fewer values than columns")
    values = {**dict.fromkeys(OPTIONAL, ""), **line}
    path, label = as_on_disk(root, PurePath(values["path"])), values["label"]
    if not label or label.startswith(".") or any(c in label for c in "/\\") or name_problem(label):
        raise SourceError(f"label {label!r}, expected a name that a folder can have")
    if values["split"] not in SIDES:
        raise SourceError(f"split {values['split']!r}, expected train, test, promotion or nothing")
    if not values["path"]:
        raise SourceError(f"no such video: {root}/")
    if has_control(values["group"]):
        raise SourceError(f"group {values['group']!r}, expected one line; perhaps a quote is open")
    file = root / path
    is_inside = _without_dots(file).is_relative_to(_without_dots(root))
    named = next(filter(None, map(name_problem, path.parts)), "")
    is_hidden = path.name.startswith(".") and path.name != ".."
    problem = "hidden; rename it" if is_hidden else named
    problem = problem or file_problem(file, within if is_inside else None)
    if problem:
        there = problem != NOT_THERE
        problem = f"{shown(file)}: {problem}" if there else f"no such video: {file}"
    return CsvRow(
        number, path, label, values["group"], values["split"], problem=problem, is_inside=is_inside
    )


def _without_dots(path: Path) -> Path:
    """Return a path by its names alone: `file_problem` follows the links."""
    return Path(os.path.normpath(path.absolute()))


def as_on_disk(root: Path, path: PurePath) -> PurePath:
    """Return a path below `root` as the disk spells it, if it does in one of the usual forms."""
    found = PurePath()
    for part in path.parts:
        there = (name for name in spellings(part) if os.path.lexists(root / found / name))
        found /= next(there, part)
    return found
