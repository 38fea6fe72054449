"""What all commands of `tsn` share: the groups of its help, arguments, the project they work in."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

MARKS = ("dvc.yaml", "params.yaml")  # of a project's folder
RUN, DATA, USE, MLFLOW, ALONE, UPKEEP = GROUPS = (
    "Run the pipeline",
    "Your own videos",
    "Use a recogniser",
    "Compare and promote",
    "Retrain on a schedule",
    "Clean up",
)


class Groups(TyperGroup):
    """Shows the commands in groups, each with an example."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write a section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {title: [] for title in GROUPS}
        for name, shown in self.commands.items():
            rows = groups[str(vars(shown)["rich_help_panel"])]
            first = (shown.epilog or "").splitlines()[2].strip()
            rows += [(name, (shown.help or "").partition("\n\n")[0]), ("", f"$ {first}")]
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    name="tsn",
    cls=Groups,
    no_args_is_help=True,
    rich_markup_mode=None,  # half of the time that help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Temporal Segment Networks: from labelled videos to a served recogniser.\n\n"
    "Start with `tsn repro`, or with your own videos: `tsn new mine --videos FOLDER`.",
    epilog="`tsn COMMAND --help` says what a command takes.",
)


def command(group: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the decorator of a command that stands in that group."""
    title = "Examples:" if len(examples) > 1 else "Example:"
    lines = "\n".join(f"  {example}" for example in examples)
    return app.command(rich_help_panel=group, epilog=f"\b\n{title}\n{lines}")


def recipe_names(incomplete: str) -> list[str]:
    from stages.runtime import params

    root = find_root(Path.cwd())
    found = params.recipe_names(root) if root else ()
    return [name for name in found if name.startswith(incomplete)]


def modality_names(incomplete: str) -> list[str]:
    from tsn.modality import MODALITIES

    return [name for name in MODALITIES if name.startswith(incomplete)]


Dataset = Annotated[
    str | None,
    typer.Argument(
        help="As in recipes/<dataset>.yaml. Default: the dataset of params.yaml, if it is one.",
        autocompletion=recipe_names,
        show_default=False,
    ),
]
OnDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="A recipe. Default: the dataset of params.yaml, if it is one.",
        autocompletion=recipe_names,
        show_default=False,
    ),
]
Videos = Annotated[
    list[Path],
    typer.Argument(help="Video files, folders of them, or patterns in quotes."),
]
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        help="Stages, cells or patterns, such as train@*-flow; datasets with --quick. "
        "Default: everything.",
        show_default=False,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Training runs at once. Default: one a GPU, or as many as cores and memory allow.",
    ),
]
Pool = Annotated[
    str | None,
    typer.Option(help="A Prefect work pool, whose workers train and extract."),
]

Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Only a first answer, in minutes: the baseline of the first split, without training.",
    ),
]

Port = Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")]
PrefectPort = Annotated[
    int, typer.Option("--port", "--prefect-port", min=1, max=65535, help="Port of Prefect.")
]


def find_root(start: Path) -> Path | None:
    """Return the project that a folder is in, or None."""
    folders = (start, *start.parents)
    return next((f for f in folders if all((f / mark).is_file() for mark in MARKS)), None)


def work(name: str, main: Callable[[], None], *, anywhere: bool = False) -> None:
    """Run a command's work in the project's folder; outside a project, `anywhere` or not at all.

    An expected error is one line.
    """
    from flows.processes.programs import ProgramError
    from stages.runtime import command
    from stages.runtime.places import make_private

    root = find_root(Path.cwd())
    if root is None and not anywhere:
        sys.exit(
            f"tsn: {Path.cwd()} is in no project; change to your clone, the folder with "
            f"{' and '.join(MARKS)}"
        )
    if root is not None:
        os.chdir(root)
        make_private(root)

    def told() -> None:
        try:
            main()
        except ProgramError as error:
            raise ValueError(str(error)) from error

    command.guarded(f"tsn {name}", told)


def chosen(dataset: str | None, how: str = "by its name") -> str:
    """Return the dataset, or the only one of params.yaml; ValueError where there are several.

    how: to say which.
    """
    from stages.runtime import params

    active = params.active_datasets()
    if dataset is None:
        if len(active) != 1:
            raise ValueError(f"say which dataset, {how}: params.yaml has {', '.join(active)}")
        return active[0]
    params.load_recipe(dataset)  # or it says which there are
    return dataset
