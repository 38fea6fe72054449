"""The chain as a Prefect flow: `dvc repro` as a job that Prefect starts and watches.

DVC stays the only truth about what is done, so a repeated flow goes on where the last one stopped.
`python -m flows.reproduce` runs it here; with `--cron` it stays and runs on schedule.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL

from flows.programs import ProgramError, run_dvc, run_stage


@task(cache_policy=NO_CACHE, persist_result=False)
def repro(targets: Sequence[str], workspace: Path) -> None:
    """What `make repro` runs, for the targets, or for everything when there are none."""
    get_run_logger().info("dvc repro %s in %s", " ".join(targets), workspace)
    run_stage("check", workspace)
    run_dvc(["repro", *targets], workspace)
    run_stage("sync", workspace)


@flow(name="reproduce")
def reproduce(targets: Sequence[str] = (), workspace: Path = Path()) -> None:
    """Brings the workspace's results up to date."""
    repro(list(targets), workspace.resolve())


def main() -> None:
    """Once, or on a schedule."""
    parser = argparse.ArgumentParser(prog="reproduce", description=__doc__)
    parser.add_argument("targets", nargs="*", help="DVC stages; none means all")
    parser.add_argument("--cron", help='schedule, e.g. "0 3 * * *"; needs `prefect server start`')
    arguments = parser.parse_args()
    if arguments.cron:
        if PREFECT_API_URL.value() is None:
            parser.error(
                "a schedule needs a server: start `prefect server start` and set "
                "PREFECT_API_URL=http://127.0.0.1:4200/api"
            )
        reproduce.serve(
            name="scheduled",
            cron=arguments.cron,
            limit=1,
            parameters={"targets": arguments.targets},
        )
        return
    try:
        reproduce(arguments.targets)
    except ProgramError as error:
        sys.exit(f"reproduce: {error}")


if __name__ == "__main__":
    main()
