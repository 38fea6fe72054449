"""The command that compares: a challenger with the champion, or any two results by name."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import MLFLOW, OnDataset, chosen, command, recipe_names, work

First = Annotated[
    str | None,
    typer.Argument(
        metavar="DATASET|A",
        help="A dataset: its challenger against its champion. Or the first of two results.",
        autocompletion=recipe_names,
        show_default=False,
    ),
]
Second = Annotated[str | None, typer.Argument(metavar="B", help="The second.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the page. Default: reports/compare/<dataset>, of the challenger "
        ".tsn/compare/<dataset>.",
        resolve_path=True,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Of two: print JSON instead of tables.")]


@command(
    MLFLOW,
    "tsn compare mine",
    "tsn compare HEAD~1 workspace",
    "tsn compare main short_rgb --dataset synthetic",
    "tsn compare champion version:3 --json",
)
def compare(
    a: First = None,
    b: Second = None,
    dataset: OnDataset = None,
    json: Json = False,
    out: Out = None,
) -> None:
    """Show the challenger against the champion, or any two results, on the same test videos.

    A and B are each a git revision, a DVC experiment, a registered version (its number, champion,
    challenger or previous), or the word workspace. If a name may mean several, write git:NAME,
    exp:NAME or version:NAME. Nothing is checked out or promoted.
    """
    if b is None and (dataset is not None or json):
        given = "--json" if json else "--dataset"
        raise typer.BadParameter(f"{given} is for two results: tsn compare A B")

    def main() -> None:
        if a is not None and b is not None:
            _two(a, b, chosen(dataset, "by --dataset"), out, json=json)
        else:
            _challenger(a, out)

    work("compare", main)


def _challenger(dataset: str | None, out: Path | None) -> None:
    from stages.operate import compare
    from stages.runtime.places import COMPARE, DatasetPaths

    try:
        name = chosen(dataset)
    except ValueError as error:
        hint = "" if dataset is None else "; to compare two results, name both: tsn compare A B"
        raise ValueError(f"{error}{hint}") from error
    paths = DatasetPaths(name)
    compare.main(
        compare.Options(
            dataset=name,
            videos=paths.videos,
            lists=paths.splits,
            out=out or COMPARE / name,
        )
    )


def _two(a: str, b: str, dataset: str, out: Path | None, *, json: bool) -> None:
    from stages.operate import compare_two
    from stages.runtime.places import COMPARISON_REPORTS

    folder = out or COMPARISON_REPORTS / dataset
    compare_two.main(compare_two.Options(dataset=dataset, a=a, b=b, out=folder, json=json))
