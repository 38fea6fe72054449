"""The commands of `tsn`: all that a person types, with the other modules of this folder.

Modules of what can be typed, and no more. What a command does is imported when it is called, so
that help comes at once. The stages of dvc.yaml are programs of their own: `python -m stages.<name>
--help`.
"""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.frame import (
    ALONE,
    MLFLOW,
    RUN,
    Dataset,
    Jobs,
    Pool,
    Port,
    PrefectPort,
    Quick,
    Targets,
    chosen,
    command,
    modality_names,
    recipe_names,
    work,
)

# -- run the pipeline -------------------------------------------------------------------------


@command(RUN, "tsn repro", "tsn repro train@synthetic-1-flow report", "tsn repro --quick")
def repro(targets: Targets = None, jobs: Jobs = None, quick: Quick = False) -> None:
    """Run what is not up to date, several cells at once, then show what came out.

    A cell is a stage for one dataset, split and modality. What its stage prints is in .tsn/logs.
    """

    def main() -> None:
        from flows.cli.sources import take_changed_sources
        from flows.grid.chain import first_answers, run_chain
        from stages.operate.show import show_tables

        take_changed_sources(targets or [])
        if quick:
            first_answers(Path.cwd(), targets or [], jobs=jobs)
            return
        run_chain(Path.cwd(), targets or [], jobs=jobs)
        show_tables()

    work("repro", main)


@command(RUN, "tsn grid", "tsn grid --jobs 2 report@mine")
def grid(
    targets: Targets = None,
    jobs: Jobs = None,
    cpu_jobs: Annotated[
        int | None, typer.Option(min=1, help="Other stages at once. Default: the number of cores.")
    ] = None,
    pool: Pool = None,
) -> None:
    """Do as `tsn repro` does, as a Prefect flow: in the UI, and on the workers of a pool."""

    def main() -> None:
        from flows.processes.start import on_a_leash, start

        if on_a_leash():
            return
        from flows.cli.sources import take_changed_sources
        from flows.reproduce import reproduce
        from stages.operate.show import show_tables

        take_changed_sources(targets or [])
        places = {"jobs": jobs, "cpu_jobs": cpu_jobs, "pool": pool}
        start("tsn grid", reproduce, {"targets": targets or [], **places})
        show_tables()

    work("grid", main)


@command(RUN, "tsn check", "tsn check mine")
def check(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="Only this recipe. Default: all of them.",
            autocompletion=recipe_names,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what cannot be run; then what would, for how long, on how much disk, of which clips.

    Times are by the rates of a server's cores. A class is thin if it has few clips in a split.
    """

    def main() -> None:
        from flows.grid.forecast import forecast

        _check(dataset)
        print("params.yaml and the recipes can be run")
        print("\n".join(forecast(Path.cwd(), dataset)))

    work("check", main)


def _check(dataset: str | None) -> None:
    from stages.operate import check

    check.check(check.Options(dataset=dataset))


@command(RUN, "tsn show")
def show() -> None:
    """Show the tables of every dataset, and where to look next."""

    def main() -> None:
        from stages.operate.show import show_tables

        show_tables()

    work("show", main)


@command(RUN, "tsn fill ucf101 --modality flow --shard 3/8")
def fill(
    dataset: Annotated[str, typer.Argument(help="A recipe.", autocompletion=recipe_names)],
    modality: Annotated[
        str, typer.Option(help="The modality to extract.", autocompletion=modality_names)
    ],
    shard: Annotated[str, typer.Option(metavar="I/N", help="Which share of the videos.")],
    store: Annotated[
        Path | None, typer.Option(help="The store. Default: .tsn/store.", resolve_path=True)
    ] = None,
) -> None:
    """Extract a share of a dataset's videos, so that many machines do it together.

    Run shards 1/N to N/N anywhere, in any order, with the same commit. Let .tsn/store be a link to
    a folder that all machines see, or copy the stores together. The extract stage then takes what
    is there.
    """

    def main() -> None:
        from stages.operate import fill
        from stages.runtime.places import STORE, DatasetPaths
        from tsn.lists import VIDEOS

        paths = DatasetPaths(chosen(dataset))
        fill.main(
            fill.Options(
                dataset=dataset,
                modality=modality,
                videos=paths.videos,
                list=paths.splits / VIDEOS,
                shard=fill.shard(shard),
                store=store or STORE,
            )
        )

    work("fill", main)


# -- compare and promote ----------------------------------------------------------------------


@command(RUN, "tsn profile", "tsn profile mine --modality flow --iterations 50")
def profile(
    dataset: Dataset = None,
    modality: Annotated[
        str, typer.Option(help="Of the training.", autocompletion=modality_names)
    ] = "rgb",
    split: Annotated[int, typer.Option(min=1, help="Of the training.")] = 1,
    iterations: Annotated[
        int, typer.Option(min=1, help="To measure, and as many again under the profiler.")
    ] = 20,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the files. Default: below .tsn/profile.", resolve_path=True),
    ] = None,
) -> None:
    """Show where the time of a training goes: reading, forward, backward; as a table and a trace.

    Nothing that is trained here is kept. Run it while nothing else runs.
    """

    def main() -> None:
        from stages.operate import profile
        from stages.runtime.places import PROFILE

        name = chosen(dataset)
        profile.main(
            profile.Options(
                dataset=name,
                split=split,
                modality=modality,
                iterations=iterations,
                out=out or PROFILE / f"{name}-{split}-{modality}",
            )
        )

    work("profile", main)


@command(MLFLOW, "tsn ui", "tsn ui --port 5005")
def ui(port: Port = 5000) -> None:
    """Log what is finished, then serve the MLflow UI, until Ctrl-C.

    A project that logs to a server (MLFLOW_TRACKING_URI) has its UI there: then it says where.
    """

    def main() -> None:
        from flows.server import serve_ui

        serve_ui(port)

    work("ui", main)


@command(MLFLOW, "tsn sync")
def sync() -> None:
    """Log what is finished to MLflow, and register new recognisers."""

    def main() -> None:
        from stages.operate import sync

        sync.main(sync.Options(all=True))

    work("sync", main)


@command(MLFLOW, "tsn promote mine", "tsn promote mine --version 3", "tsn promote --roll-back")
def promote(
    dataset: Dataset = None,
    version: Annotated[
        int | None,
        typer.Option(help="The version to promote. Default: the challenger.", show_default=False),
    ] = None,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", help="Restore the previous champion.")
    ] = False,
) -> None:
    """Make a registered recogniser the champion, or the one before it again."""

    def main() -> None:
        from stages.operate import promote

        number = None if version is None else str(version)
        promote.main(promote.Options(dataset=chosen(dataset), version=number, roll_back=roll_back))

    work("promote", main)


# -- leave it alone ---------------------------------------------------------------------------


@command(ALONE, "tsn retrain mine", "tsn retrain mine --force")
def retrain(
    dataset: Dataset = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Take the upstream branch's commits, and push ours.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Retrain even without new clips.")] = False,
    jobs: Jobs = None,
    pool: Pool = None,
) -> None:
    """Take in new clips, train a challenger, and promote it if it is better."""

    def main() -> None:
        from flows.processes.start import on_a_leash, start

        if on_a_leash():
            return
        from flows.retrain import retrain

        values = {"dataset": chosen(dataset), "follow": follow, "force": force}
        start("tsn retrain", retrain, {**values, "jobs": jobs, "pool": pool})

    work("retrain", main)


@command(ALONE, "tsn server")
def server(port: PrefectPort = 4200, mlflow_port: Port = 5000) -> None:
    """Serve Prefect, a worker and MLflow for schedules, until Ctrl-C."""

    def main() -> None:
        from flows.server import serve_all

        serve_all(port, mlflow_port)

    work("server", main)
