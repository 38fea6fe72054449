"""Videos that a CSV file lists, wherever they lie: one's own, labelled in a spreadsheet."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from tsn.files import copy_file, write_csv
from tsn.sources.folder import SourceError, SourceMissingError, has_control_character

REQUIRED = ("path", "label")
OPTIONAL = ("group", "split")
SIDES = ("", "train", "test")
CLIPS = "clips.csv"


@dataclass(frozen=True, kw_only=True)
class CsvConfig:
    """A file with the columns path and label, and perhaps group and split (train or test).

    Paths are relative to `root`. A group (who, or where) never stands on both sides of a split.
    """

    file: str
    root: str


@dataclass(frozen=True)
class CsvRow:
    """A line of the file: a clip, its label, and its group and split ("" where not said)."""

    number: int
    path: PurePath
    label: str
    group: str
    split: str


def fetch_csv(
    config: CsvConfig, videos: Path, lists: Path, _report: object = None
) -> Iterator[str]:
    """Copy the listed clips to `<label>/<clip>`, write `clips.csv` and yield each video id.

    SourceError names the line that cannot be used.
    """
    for video, file in list_csv(config, lists).items():
        copy_file(file, videos / video)
        yield video


def list_csv(config: CsvConfig, lists: Path) -> dict[str, Path]:
    """Write `clips.csv`, and return the file of each video id."""
    ids = listed_videos(config)
    write_clips(ids, lists)
    return {video: Path(config.root) / ids[video].path for video in sorted(ids)}


def listed_videos(config: CsvConfig) -> dict[str, CsvRow]:
    """Return the lines of the file by the ids `<label>/<clip>` of their videos.

    A clip keeps its file name; clips of one label that share one are named by their whole path.
    SourceError names the line that cannot be used.
    """
    rows = read_rows(Path(config.file), Path(config.root))
    shared = Counter((row.label, row.path.name) for row in rows)
    ids: dict[str, CsvRow] = {}
    files: dict[Path, CsvRow] = {}
    for row in rows:
        whole = "_".join(part for part in row.path.parts if part not in (row.path.anchor, ".."))
        name = row.path.name if shared[row.label, row.path.name] == 1 else whole
        video = f"{row.label}/{name}"
        file = (Path(config.root) / row.path).resolve()
        earlier = ids.get(video) or files.get(file)
        if earlier:
            raise SourceError(
                f"{config.file} line {row.number}: {row.path} would be {video}, as "
                f"line {earlier.number} is; list every clip once"
            )
        ids[video] = files[file] = row
    return ids


def write_clips(ids: Mapping[str, CsvRow], lists: Path) -> None:
    """Write the groups and sides of videos as the list that the split format `csv` reads."""
    lines = ((video, ids[video].group, ids[video].split) for video in sorted(ids))
    write_csv(lists / CLIPS, ("video", "group", "split"), lines)


def read_rows(path: Path, root: Path) -> list[CsvRow]:
    """Return the lines of a file of clips; SourceError names the line that cannot be used."""
    lines = _read_lines(path)
    if not lines:
        raise SourceError(f"{path}: lists no videos")
    rows = [_row(path, root, number, line) for number, line in lines]
    if len({bool(row.split) for row in rows}) > 1:
        raise SourceError(f"{path}: some lines have a split and some have none")
    return rows


def sound_rows(path: Path, root: Path) -> tuple[list[CsvRow], dict[int, str]]:
    """Return the lines that can be used, and what is wrong with the others, by their number."""
    rows, problems = [], {}
    for number, line in _read_lines(path):
        try:
            rows.append(_row(path, root, number, line))
        except SourceError as error:
            problems[number] = str(error)
    return rows, problems


def _read_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the numbered lines of a file that has the columns it should."""
    if not path.is_file():
        raise SourceMissingError(f"{path}: no such file; set it in the recipe")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            lines = [(reader.line_num, line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not CSV in UTF-8 ({error}); export it so") from error
    if not set(REQUIRED) <= set(columns) <= {*REQUIRED, *OPTIONAL}:
        raise SourceError(
            f"{path}: columns {', '.join(columns) or 'none'}, expected {', '.join(REQUIRED)}, and "
            f"perhaps {', '.join(OPTIONAL)}, separated by commas"
        )
    return lines


def _row(path: Path, root: Path, number: int, line: dict[str, str]) -> CsvRow:
    def error(text: str) -> SourceError:
        return SourceError(f"{path} line {number}: {text}")

    if None in line or None in line.values():
        raise error("has more or fewer values than columns")
    values = {column: (line.get(column) or "").strip() for column in (*REQUIRED, *OPTIONAL)}
    label = values["label"]
    if not label or label.startswith(".") or any(c in label for c in "/\\\n"):
        raise error(f"label {label!r}, expected a name that a folder can have")
    if not values["path"] or not (root / values["path"]).is_file():
        raise error(f"no such video: {root / values['path']}")
    if PurePath(values["path"]).name.startswith(".") or has_control_character(values["path"]):
        raise error(f"{values['path']!r} is hidden or has a control character; rename it")
    if values["split"] not in SIDES:
        raise error(f"split {values['split']!r}, expected train, test or nothing")
    return CsvRow(number, PurePath(values["path"]), label, values["group"], values["split"])
