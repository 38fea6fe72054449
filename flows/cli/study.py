"""The command for studies: every table of the papers, or one's own, on a dataset."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.frame import RUN, Jobs, OnDataset, chosen, command, work


def study_names(incomplete: str) -> list[str]:
    from stages.operate.studies import load_studies

    return [name for name in load_studies().studies if name.startswith(incomplete)]


Name = Annotated[
    str | None,
    typer.Argument(help="A study of studies.yaml.", autocompletion=study_names, show_default=False),
]
Rows = Annotated[str, typer.Option(help="Only these rows, as a,b.", show_default=False)]
Splits = Annotated[
    str,
    typer.Option(
        help="These splits, as 1,2,3. Default: those of the published numbers.", show_default=False
    ),
]
Seeds = Annotated[
    str,
    typer.Option(help="Seeds of training, as 1,2,3. Default: the recipe's.", show_default=False),
]
Small = Annotated[bool, typer.Option("--small", help="Use the small setting of studies.yaml.")]
Promote = Annotated[
    str | None, typer.Option(metavar="ROW", help="Write this row as a recipe, and run nothing.")
]
As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="The name of that recipe.")]
List = Annotated[bool, typer.Option("--list", help="Say which studies and rows there are.")]


@command(
    RUN,
    "tsn study consensus --dataset synthetic",
    "tsn study consensus --rows max,average --seeds 1,2,3",
    "tsn study consensus --promote max --as mine_max",
    "tsn study --list",
)
def study(
    name: Name = None,
    dataset: OnDataset = None,
    rows: Rows = "",
    splits: Splits = "",
    seeds: Seeds = "",
    small: Small = False,
    promote: Promote = None,
    as_name: As = None,
    show: List = False,
    jobs: Jobs = None,
) -> None:
    """Train and test the rows of a study, beside what was published.

    It runs what is committed. The table is in reports/studies/<study>/ and grows row by row; a
    study that was stopped goes on where it was.
    """

    run_options = {"--rows": rows, "--splits": splits, "--seeds": seeds, "--jobs": jobs}
    given = [option for option, value in run_options.items() if value]
    if promote is not None and given:
        raise typer.BadParameter(f"{given[0]} is for running rows, not for --promote")
    if promote is None and as_name is not None:
        raise typer.BadParameter("--as is for --promote")
    if name is None and (given or promote or dataset or small):
        raise typer.BadParameter("say which study; `tsn study --list` shows them")

    def main() -> None:
        if show or name is None:
            _list()
            return
        target = chosen(dataset, "by --dataset")
        if promote is not None:
            _promote(name, target, promote, as_name, small=small)
            return
        numbers = {"splits": _numbers("splits", splits), "seeds": _numbers("seeds", seeds)}
        _run(name, target, {"rows": _words(rows), **numbers, "small": small, "jobs": jobs})

    work("study", main)


def _promote(name: str, dataset: str, row: str, as_name: str | None, *, small: bool) -> None:
    from stages.operate import studies

    if as_name is None:
        raise ValueError("--promote ROW needs --as NAME, the name of its recipe")
    plan = studies.make_plan(name, dataset, small=small)
    print(f"wrote {studies.promote(plan, row, as_name)}")


def _run(name: str, dataset: str, values: dict[str, Any]) -> None:
    from flows.processes.start import on_a_leash, start
    from stages.operate import studies

    chosen_values = {key: values[key] for key in ("rows", "splits", "seeds", "small")}
    plan = studies.make_plan(name, dataset, **chosen_values)
    plan.runs(Path())  # or it says why not, at once
    if on_a_leash():
        return
    from flows.study import study
    from stages.runtime.places import STUDY_REPORTS

    start("tsn study", study, {"name": name, "dataset": dataset, **values})
    page = STUDY_REPORTS / name / plan.file_name
    print(Path(f"{page}.md").read_text(encoding="utf-8"))
    print(f"  the page              {page}.html")
    print("  every row, in DVC     dvc exp show")
    print("  the runs, in MLflow   tsn ui")


def _list() -> None:
    from stages.operate.studies import load_studies

    for name, found in load_studies().studies.items():
        rows = ", ".join(found.chosen(()))
        print(f"{name}\n    {found.title} ({found.source})\n    rows: {rows}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(option: str, text: str) -> list[int]:
    words = _words(text)
    if wrong := [word for word in words if not word.isascii() or not word.isdecimal()]:
        raise ValueError(f"--{option}: {wrong[0]!r} is no number; write 1,2,3")
    if twice := [word for word in words if words.count(word) > 1]:
        raise ValueError(f"--{option}: {twice[0]} stands there twice")
    return [int(word) for word in words]
