"""A study as files: text for people, JSON for programs, pictures, and one page."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from stages.reporting.figures.study_bars import draw_study_bars
from stages.reporting.figures.study_speed import draw_study_speed
from stages.reporting.page import data_uri
from stages.reporting.result_tables import markdown_row
from stages.reporting.study_result import SPEED_PNG, StudyResult
from tsn.files import atomic_path, write_json

TEMPLATE = Path(__file__).with_name("study.html.j2")


def write(result: StudyResult, folder: Path) -> None:
    """Write the study into a folder: text for people, JSON for programs, a picture and a page."""
    name, study = result.plan.file_name, result.plan.study
    picture = folder / f"{name}.png"
    beside = result.is_of_published_setting
    quoted = {row: study.rows[row].published for row in result.accuracies} if beside else {}
    draw_study_bars(
        list(study.columns),
        {
            study.rows[row].label: [(columns[c].mean, columns[c].spread) for c in study.columns]
            for row, columns in result.accuracies.items()
        },
        {
            study.rows[row].label: [quoted.get(row, {}).get(c) for c in study.columns]
            for row in result.accuracies
        },
        picture,
        result.title,
    )
    pictures = {"The table as bars": picture}
    if result.speeds:
        pictures["Accuracy against speed"] = folder / f"{name}{SPEED_PNG}"
        draw_study_speed(
            {
                study.rows[row].label: {
                    column: (speed, result.accuracies[row][column].mean)
                    for column, speed in speeds.items()
                }
                for row, speeds in result.speeds.items()
            },
            pictures["Accuracy against speed"],
            result.title,
        )
    write_json(folder / f"{name}.json", result.numbers())
    with atomic_path(folder / f"{name}.md") as temporary:
        temporary.write_text("\n".join(markdown(result)) + "\n", encoding="utf-8")
    with atomic_path(folder / f"{name}.html") as temporary:
        temporary.write_text(html_page(result, pictures), encoding="utf-8")


def captioned_tables(result: StudyResult) -> list[tuple[str, list[list[str]]]]:
    """Return the tables that have a row, each with what stands over it."""
    column = list(result.plan.study.columns)[-1]
    speeds = " and frames/s" if result.plan.study.speed else ""
    measured = f"Measured: mean class accuracy in %{speeds}, {result.setting}"
    published = f"Published: {result.plan.study.source}."
    if result.is_of_published_setting:
        measured += "; in brackets what was published"
    else:
        published += " Another setting: only the order compares."
    classes = f"{column} by class: accuracy in %, and the change in points of each other row"
    tables = [
        (f"{measured}.", result.table()),
        (published, result.published_table()),
        (f"{classes}.", result.class_table()),
    ]
    return [(caption, table) for caption, table in tables if len(table) > 1]


def markdown(result: StudyResult) -> Iterator[str]:
    """Yield the lines of the tables and the verdict."""
    yield from (f"# {result.title}", "", result.verdict, "")
    for caption, table in captioned_tables(result):
        yield from (caption, "")
        for index, row in enumerate(table):
            yield markdown_row(row)
            if index == 0:
                yield f"|{' --- |' * len(row)}"
        yield ""
    yield from (f"- {remark}" for remark in result.remarks)
    if result.plan.study.note:
        yield from ("", result.plan.study.note)


def html_page(result: StudyResult, pictures: Mapping[str, Path]) -> str:
    """Return one HTML document that needs no other file; pictures: by what each shows."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        result=result,
        tables=captioned_tables(result),
        pictures={text: data_uri(path) for text, path in pictures.items()},
    )
