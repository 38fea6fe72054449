"""serve: stays and runs the flows on one machine, on schedule and when the UI asks.

Needs a Prefect server (`make server` starts one with everything else; it uses a work pool instead).
`reproduce/on-demand` runs the grid, `retrain/<dataset>` retrains a dataset of params.yaml on the
schedule. At most one of each runs at a time: another is cancelled, not queued.
"""

import argparse
from pathlib import Path

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.settings import PREFECT_API_URL

from flows import NEEDS_A_SERVER
from flows.reproduce import reproduce
from flows.retrain import retrain
from flows.zombies import mark_zombies
from stages.runtime import params

ONE_AT_A_TIME = ConcurrencyLimitConfig(
    limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
)


def deployments(root: Path, cron: str | None) -> list[RunnerDeployment]:
    """The grid on demand, and the retraining of every active dataset."""
    workspace = {"workspace": str(root)}
    found = [
        reproduce.to_deployment(
            name="on-demand", parameters=workspace, concurrency_limit=ONE_AT_A_TIME
        )
    ]
    content = params.load(root / params.PARAMS)
    for dataset in params.section(content, "datasets", tuple[str, ...]):
        found.append(
            retrain.to_deployment(
                name=dataset,
                cron=cron,
                parameters={"dataset": dataset, **workspace},
                concurrency_limit=ONE_AT_A_TIME,
            )
        )
    return found  # type: ignore[return-value]


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(
        prog="serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cron", help='when to retrain, e.g. "0 3 * * *" (every night at three); none: on demand'
    )
    arguments = parser.parse_args()
    if PREFECT_API_URL.value() is None:
        parser.error(NEEDS_A_SERVER)
    mark_zombies()
    serve(*deployments(Path.cwd(), arguments.cron))


if __name__ == "__main__":
    main()
